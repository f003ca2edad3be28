"""The message that an explorer shows when its kernel has ended."""

RESTART = "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
TOLD = """() => {
    const explorer = document.querySelector(".patchcore-explorer");
    return explorer && getComputedStyle(explorer, "::before").content.includes("Run this cell again");
}"""


def test_after_a_restart_the_explorer_asks_to_run_its_cell_again(open_explorer):
    shown = open_explorer("Neighbourhood")
    assert not shown.page.evaluate(TOLD)
    shown.page.evaluate(RESTART)
    shown.page.wait_for_function(TOLD)
    shown.notebook.client.wait_for_ready(timeout=60)
    shown.notebook.run_all()
    shown.page.wait_for_function(f"() => !({TOLD})()")
    shown.notebook.console_errors.clear()


REOPENED = """() => {
    const model = window.jupyterapp.shell.currentWidget.context.model;
    const widget = "application/vnd.jupyter.widget-view+json", notebook = model.toJSON();
    for (const output of notebook.cells.flatMap(cell => cell.outputs ?? []))
        if (output.data?.[widget]) output.data[widget].model_id = "of a kernel that has ended";
    model.fromJSON(notebook);
}"""


def test_in_a_reopened_notebook_the_explorer_asks_to_run_its_cell_again(open_explorer):
    """Without it, JupyterLab only says "Error displaying widget: model not found"."""
    shown = open_explorer("Neighbourhood")
    note, error = shown.page.locator(".patchcore-gone"), shown.page.get_by_text("model not found")
    assert note.count() == 1 and not note.is_visible()
    shown.page.evaluate(REOPENED)
    error.wait_for(state="attached")
    note.wait_for()
    assert "Run this cell again" in note.inner_text() and not error.is_visible()
    shown.notebook.run_all()
    shown.page.locator(".patchcore-explorer").wait_for()
    note.wait_for(state="hidden")
    shown.notebook.console_errors.clear()

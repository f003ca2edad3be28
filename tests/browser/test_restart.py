"""What an explorer says when its kernel is gone."""

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

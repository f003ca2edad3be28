"""A notebook's link to the playground in JupyterLab: one click opens it with the notebook's settings."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from patchcore_edu.commands.playground import link

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"


@pytest.fixture(scope="module")
def served(jupyter_server):
    """The server's (address, folder, token), with two notebooks and the page that they link to."""
    for name in ("04_patch_set.ipynb", "06_coreset.ipynb", "playground.html"):
        shutil.copy(NOTEBOOKS / name, jupyter_server[1] / "root")
    return jupyter_server


@pytest.fixture
def open_notebook(browser, served):
    """`open_notebook(name)` opens it in JupyterLab in a new window, logged in; returns (its page, the link)."""
    opened = []

    def open_notebook(name):
        opened.append(browser.new_context(viewport={"width": 1280, "height": 900}))
        opened[-1].set_default_timeout(60_000)  # also applies to the page that the link opens
        page = opened[-1].new_page()
        # In an empty workspace: JupyterLab would open the tabs of the test before, too.
        page.goto(f"{served[0]}/lab/tree/{name}.ipynb?reset&token={served[2]}")
        return page, page.get_by_role("link", name="open the playground")

    yield open_notebook
    for context in opened:
        context.close()


OPEN = """async (path) => {
    await window.jupyterapp.commands.execute("docmanager:open", {path, kernelPreference: {shouldStart: false}});
}"""
CLOSE = """() => {
    const { shell } = window.jupyterapp, [first, ...opened] = shell.widgets("main");
    opened.forEach((widget) => widget.close());
    shell.activateById(first.id);
}"""


def test_without_a_built_playground_it_says_how_to_build_one(lab, served):
    page = lab.notebook.page
    page.evaluate(OPEN, "04_patch_set.ipynb")
    try:
        page.get_by_role("link", name="open the playground").click()
        text = page.frame_locator(".jp-HTMLViewer iframe").locator("body")
        expect(text).to_contain_text("python -m patchcore_edu playground", timeout=60_000)
    finally:
        page.evaluate(CLOSE)


@pytest.fixture(scope="module")
def linked(served, playground):
    """The built playground, installed as an extension of JupyterLab."""
    folder = served[1] / "data" / "labextensions" / "patchcore-edu"
    shutil.copytree(playground, folder / "static")
    link(folder)


@pytest.mark.parametrize(
    "name, settings", [("04_patch_set", {"levels": [2, 3], "s": 2}), ("06_coreset", {"ratio": 0.01})]
)
def test_one_click_opens_it_at_the_notebook_s_settings(linked, served, open_notebook, name, settings):
    page, link = open_notebook(name)
    with page.context.expect_page() as opened:
        link.click()
    live = opened.value
    errors = []
    live.on("console", lambda message: message.type == "error" and errors.append(message.text))
    assert live.url.startswith(f"{served[0]}/lab/extensions/patchcore-edu/static/playground.html#")
    live.evaluate("patchcore.ready")
    found = live.evaluate("patchcore.state.bank.settings")
    assert found.items() >= settings.items() and errors == []
    # JupyterLab itself has opened nothing: it still shows the notebook.
    assert page.locator(".jp-NotebookPanel:visible").count() == 1
    assert page.locator(".jp-HTMLViewer:visible").count() == 0

"""Every notebook runs offline from a fresh kernel. In CI, each cell runs twice in a row and must give the same output.

Outside CI each cell runs once, in a kernel that starts with the libraries loaded: that takes a third of the time.

The same output means the same printed text, results, pictures (to the byte) and number of widgets. Not compared are
- stderr, where progress bars write;
- memory addresses;
- cells tagged `timing`, whose results are times.
"""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from notebook_runs import printed, run
from settings import REQUIRE_ALL

# The last notebooks take longest, so they run first: then no worker waits long for another at the end.
NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"), reverse=True)
WIDGET = "application/vnd.jupyter.widget-view+json"


def changed_answers(cells: list[NotebookNode]) -> list[str]:
    """Return the sources of the cells, each run twice in a row, whose second output differed from the first."""
    return [
        first.source
        for first, second in zip(cells[::2], cells[1::2], strict=True)
        if "timing" not in first.metadata.get("tags", []) and answer(first) != answer(second)
    ]


def answer(cell: NotebookNode) -> list:
    """Return a cell's outputs, without what may differ between two good runs."""
    shown = []
    for output in cell.outputs:
        data = dict(output.get("data", {}))
        if WIDGET in data:
            data = {WIDGET: "a widget"}
        shown += [{kind: without_addresses(content) for kind, content in data.items()}] if data else []
    return [without_addresses(printed([cell])), *shown]


def without_addresses(content: object) -> object:
    return re.sub(r"0x[0-9a-f]{6,}", "0x…", content) if isinstance(content, str) else content


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, executed):
    cells = executed(path.stem)
    if REQUIRE_ALL:
        assert changed_answers(cells) == []


def notebook_of(*sources: str, **metadata) -> NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s, metadata=metadata) for s in sources])


def test_a_changed_output_is_seen(tmp_path):
    counts = "n = globals().get('n', 0) + 1"
    harmless = (
        f"{counts}; import sys, ipywidgets; print(n, file=sys.stderr); display(ipywidgets.IntSlider(n)); object()"
    )
    picture = f"{counts}; import matplotlib.pyplot as plt; plt.plot([0, 10 ** n]); plt.show()"
    text, result = f"{counts}; print(n)", f"{counts}; n"
    anew = changed_answers(run(notebook_of(harmless, picture, text, result), tmp_path, times=2))
    assert anew == [picture, text, result]
    assert changed_answers(run(notebook_of(text, tags=["timing"]), tmp_path, times=2)) == []


@pytest.mark.parametrize("call", ["socket.create_connection(('192.0.2.1', 80), 1)", "socket.getaddrinfo('a.test', 80)"])
def test_a_call_to_the_network_fails(call, tmp_path):
    with pytest.raises(CellExecutionError, match="must run without a network"):
        run(notebook_of(f"import socket; {call}"), tmp_path)


def faults(notebook: NotebookNode) -> list[str]:
    """Return what makes `notebook` hard to navigate, to use with a screen reader, or to open with the right kernel."""
    wrong = [] if notebook.metadata.get("kernelspec", {}).get("name") == "python3" else ["kernelspec is not python3"]
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    prose = re.sub(r"^(```|~~~).*?^\1", "", prose, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^(#{1,6}) +(.*)", prose, flags=re.MULTILINE)
    wrong += [] if headings else ["no title"]
    depth = 0
    for marks, title in headings:
        if len(marks) > depth + 1 or (len(marks) == 1 and depth > 0):
            wrong.append(f"heading out of its place: {marks} {title}")
        depth = len(marks)
    images = re.findall(r"!\[\s*\]\([^)]*\)", prose)
    images += [tag for tag in re.findall(r"<img\b[^>]*>", prose) if not re.search(r"""\balt=["'][^"']""", tag)]
    return wrong + [f"picture without alternative text: {image}" for image in images]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_has_headings_in_order_alternative_texts_and_kernel(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert faults(notebook) == []


def test_faults_are_found():
    good = ["# Eq. 1\n## By hand\n### A\n## Loops\n```\n# a comment\n```", "![a brick](brick.png)<img src='a' alt='b'>"]
    bad = ["# One\n### Too deep\n# A second title", "![](brick.png)<img src='brick.png'>"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source) for source in good])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    assert faults(notebook) == []
    assert faults(nbformat.v4.new_notebook()) == ["kernelspec is not python3", "no title"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source) for source in bad])
    assert faults(notebook) == [
        "kernelspec is not python3",
        "heading out of its place: ### Too deep",
        "heading out of its place: # A second title",
        "picture without alternative text: ![](brick.png)",
        "picture without alternative text: <img src='brick.png'>",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_four_questions_end_the_notebook_and_are_in_the_self_test(path):
    last = nbformat.read(path, as_version=4).cells[-1].source
    questions = re.split(r"^\*\*", last.split("## Recall\n")[1], flags=re.MULTILINE)[0].strip()
    assert re.findall(r"^\d", questions, flags=re.MULTILINE) == ["1", "2", "3", "4"]
    assert questions.count("<details><summary>Answer</summary>") == 4
    assert questions in (path.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_question_and_the_strip_begin_the_notebook(path):
    title, strip, imports, *_ = nbformat.read(path, as_version=4).cells
    assert "**Question.**" in title.source and "README.md#Terms" in title.source
    assert "strip(" in strip.source and "from patchcore_edu import" in imports.source
    assert all(cell.metadata["jupyter"] == {"source_hidden": True} for cell in (strip, imports))

import re
from base64 import b64decode

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from patchcore_edu.commands.site import _mathml, site

DRAWN = """from patchcore_edu import figures
figure, _ = figures.grid(1, 1)
figures.described(figure, 'an "empty" square')"""
LESSON = [
    new_markdown_cell(
        "# One\n\nLet $x_1^2$ be `$5`. See [two](two.ipynb#end) and a [word](README.md#Terms).\n\n![a dot](dot.png)"
    ),
    new_markdown_cell("$$\\operatorname{arg\\,min}_m d$$"),
    new_markdown_cell("<details><summary>Answer</summary>\n\n42\n\n</details>"),
    new_code_cell(DRAWN),
    new_code_cell("import ipywidgets\nipywidgets.IntSlider()"),
    new_code_cell("print(6 * 7)"),
    new_code_cell("drawn = 8 * 9\nprint(drawn)", metadata={"jupyter": {"source_hidden": True}}),
]
PNG = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder, out = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("site") / "pages"
    nbformat.write(new_notebook(cells=LESSON), folder / "one.ipynb")
    (folder / "dot.png").write_bytes(PNG)
    (folder / "README.md").write_text("# Course\n\n[one](one.ipynb)\n\n| a | b |\n|---|---|\n| $p$ | 3 |\n")
    site(out, folder)
    return {path.name: path.read_text(encoding="utf-8") for path in out.iterdir()}


def test_formulas_are_drawn_without_a_script(pages):
    html = pages["one.html"]
    assert "<script" not in html and html.count("<math") == 2 and "<code>$5</code>" in html


def test_pictures_lie_in_the_page_and_say_what_they_show(pages):
    html = pages["one.html"]
    assert html.count('src="data:image/png;base64,') == 2
    assert 'alt="a dot"' in html and re.search(r"""alt='an "empty" square'|alt="an &quot;empty&quot; square\"""", html)


def test_limits_stand_below_the_word():
    assert "<munder>" in _mathml(r"\min_{n} n", "block") and "<munder>" not in _mathml(r"\min_{n} n", "inline")


def test_answers_are_folded_and_results_shown(pages):
    assert "<summary>Answer</summary>" in pages["one.html"] and ">42\n" in pages["one.html"]


def test_code_that_jupyterlab_hides_is_folded_below_its_results(pages):
    shown, _, folded = pages["one.html"].partition(">72\n")
    assert "drawn" not in shown and folded.count("<summary>Code</summary>") == 1 and "drawn" in folded


def test_links_lead_to_pages(pages):
    assert 'href="index.html#Terms"' in pages["one.html"]
    assert 'href="two.html#end"' in pages["one.html"] and 'href="one.html"' in pages["index.html"]
    assert "<table>" in pages["index.html"] and "<math" in pages["index.html"]


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="notebooks was"):
        site(tmp_path / "out", tmp_path)

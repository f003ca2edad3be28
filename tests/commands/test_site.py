"""`python -m patchcore_edu site`: the notebooks run and become pages, with formulas, search and explorers."""

import json
import os
import re
import sys
from base64 import b64decode
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from packaging.specifiers import SpecifierSet

from patchcore_edu.__main__ import main
from patchcore_edu.commands import site as command
from patchcore_edu.commands.pages import mathml, page
from patchcore_edu.commands.site import FailingNotebook, course_folder, site, write

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent.parent
GONE = ROOT / "patchcore_edu" / "explorers" / "machinery" / "gone.html"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
DRAWN = """from patchcore_edu import figures
figure, _ = figures.grid(1, 1)
figures.described(figure, 'an "empty" square')"""
EXPLORER = f"""from IPython.display import display
data = {{"text/plain": "p = 5", "image/png": "{PNG}", "application/vnd.jupyter.widget-view+json": {{"model_id": "1"}}}}
about = {{"image/png": {{"alt": "p = 5 & more"}}, "explorer": {{"name": NAME, "settings": "p=5&border=zero"}}}}
display(data, metadata=about, raw=True)"""
LESSON = [
    new_markdown_cell("# 01. One\n\nLet $x_1^2$ be `$5`. See [two](02_two.ipynb#end), [terms](README.md#Terms).\n\n"),
    new_markdown_cell(
        "## Equation\n\n![a dot](dot.png)\n\n$$\\operatorname{arg\\,min}_m d, \\qquad \\mathcal{N}_p = 1$$"
    ),
    new_markdown_cell("<details><summary>Answer</summary>\n\n42\n\n</details>"),
    new_code_cell(DRAWN, metadata={"jupyter": {"source_hidden": True}, "tags": ["folded"]}),
    new_code_cell(EXPLORER.replace("NAME", "'Neighbourhood'")),
    new_code_cell(EXPLORER.replace("NAME", "'PaintDefect'")),
    new_code_cell("from patchcore_edu import checks\nchecks.merge_levels(lambda maps: None)"),
    new_code_cell("import sys\nprint(6 * 7, sys.executable)"),
    new_code_cell("from tqdm.auto import tqdm\nfor _ in tqdm(range(2), desc='slow work'): pass"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    nbformat.write(new_notebook(cells=LESSON), folder / "01_one.ipynb")
    nbformat.write(new_notebook(cells=[new_markdown_cell("# 02. Two")]), folder / "02_two.ipynb")
    (folder / "dot.png").write_bytes(b64decode(PNG))
    text = "# Course\n\n[one](01_one.ipynb)\n\n## Terms\n\n| a | b |\n|---|---|\n| $p$ | 3 |\n"
    (folder / "README.md").write_text(text)
    return folder


@pytest.fixture(scope="module")
def as_run():
    """The executed notebooks of the site, by name."""
    return {}


@pytest.fixture(scope="module")
def built(folder, as_run, tmp_path_factory):
    """The site without the playground and with it, each as {name: text}."""
    out, execute = tmp_path_factory.mktemp("site"), command.execute
    mine = out / "with" / "mine.txt"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "playground", lambda aside: False)
        patch.setattr(command, "execute", lambda file: as_run.setdefault(file.stem, execute(file)))
        site(out / "without", folder)
        mine.parent.mkdir()
        mine.write_text("left alone")
        patch.setattr(command, "execute", lambda file: nbformat.read(file, 4))
        patch.setattr(command, "playground", lambda aside: bool((aside / "playground.html").write_text("live")))
        site(out / "with", folder)
    return [{path.name: path.read_text("utf-8") for path in (out / name).iterdir()} for name in ("without", "with")]


@pytest.fixture(scope="module")
def pages(built):
    return built[0]


def test_a_kernel_ends_with_its_notebook(tmp_path):
    """Otherwise twelve kernels, with a gigabyte each, would stay alive until the site is done."""
    nbformat.write(new_notebook(cells=[new_code_cell("import os\nprint(os.getpid())")]), tmp_path / "a.ipynb")
    book = command.execute(tmp_path / "a.ipynb")
    with pytest.raises(ProcessLookupError):
        os.kill(int(book.cells[0].outputs[0].text), 0)


def test_a_full_disk_is_noticed_before_any_notebook_runs(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "execute", lambda file: pytest.fail("a notebook was run"))
    monkeypatch.setattr(command, "free_disk_mib", lambda place: 3)
    with pytest.raises(OSError, match=r"out cannot be written: 3 MiB are free, and the site takes 50"):
        site(tmp_path / "out", folder)


def test_formulas_are_drawn_without_a_script(pages):
    html = pages["01_one.html"]
    assert html.count("<math") == 3 and "<code>$5</code>" in html


def test_pictures_are_in_the_page_and_have_alternative_text(pages):
    html = pages["01_one.html"]
    assert html.count('src="data:image/webp;base64,') == 3 and html.count("<img") == 4
    assert 'alt="a dot"' in html and html.count('alt="p = 5 &amp; more"') == 2
    assert re.search(r"""alt='an "empty" square'|alt="an &quot;empty&quot; square\"""", html)


def test_limits_are_below_the_operator():
    assert "<munder>" in mathml(r"\min_{n} n", "block") and "<munder>" not in mathml(r"\min_{n} n", "inline")


def test_a_subscript_belongs_to_the_norm_and_a_prime_to_its_letter():
    norm = mathml(r"\lVert m \rVert_2 + \lVert n' \rVert_2", "inline")
    bar = "<mo>&#x02016;</mo>"
    assert norm.count(f"{bar}</mrow><mn>2</mn></msub>") == 2 and f"<msub>{bar}" not in norm
    assert "<mi>n</mi><mi>′</mi>" in norm and "<msup>" not in norm


def test_answers_are_folded_and_results_shown(pages):
    assert re.search(r"<summary>Answer</summary>\s*<p>42</p>\s*</details>", pages["01_one.html"])
    assert "42 " in pages["01_one.html"]


def test_notebooks_run_in_a_kernel_of_this_python(pages):
    assert f"42 {sys.executable}" in pages["01_one.html"]


def test_code_that_only_draws_is_folded(pages):
    folded = re.findall(r'<details class="code">.*?</details>', pages["01_one.html"], flags=re.DOTALL)
    assert len(folded) == 1 and "figures" in folded[0] and "<img" not in folded[0]


def test_an_exercise_that_is_not_written_prints_nothing(pages):
    assert "merge_levels" in pages["01_one.html"] and "not written yet" not in pages["01_one.html"]


def test_a_progress_bar_is_not_shown(as_run, pages):
    """In a kernel it is a widget, whose text fallback would stay on the page."""
    bar = r"slow work: +\d+%"
    assert re.search(bar, str(as_run["01_one"].cells[-1].outputs)) and not re.search(bar, pages["01_one.html"])


def test_explorers_link_to_the_playground_or_are_in_the_page(built, folder):
    assert "playground" not in built[0]["01_one.html"] and "iframe" not in built[0]["01_one.html"]
    assert built[1]["playground.html"] == "live" and 'href="playground.html"' in built[1]["index.html"]
    book = nbformat.read(folder / "01_one.ipynb", 4)
    for cell, name in zip(book.cells[4:6], ("Neighbourhood", "PaintDefect"), strict=True):
        about = {"image/png": {"alt": "s"}, "explorer": {"name": name, "settings": "p=5&b=9"}}
        data = {"text/plain": "s", "image/png": PNG, "application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
        gone = {"text/plain": "", "text/html": GONE.read_text("utf-8")}
        cell.outputs = [
            nbformat.v4.new_output("display_data", data, metadata=about),
            nbformat.v4.new_output("display_data", gone),
        ]
    html = page(book, folder, title="One", playground=True)
    assert "patchcore-gone" not in html
    assert html.count('href="playground.html#p=5&amp;b=9"') == 2
    assert html.count("<iframe") == 1 and 'src="playground.html#p=5&amp;b=9"' in html
    assert html.count('alt="s"') == 2 and html.count("<img") == 3


def test_a_link_to_the_playground_needs_a_playground(folder):
    book = new_notebook(cells=[new_markdown_cell("# One\n\n[live](playground.html#p=5&b=9)")])
    assert 'href="playground.html#p=5&amp;b=9"' in page(book, folder, title="One", playground=True)
    without = page(book, folder, title="One", playground=False)
    assert "playground" not in without and "live" in without


def test_links_lead_to_pages(pages):
    html = pages["01_one.html"]
    assert 'href="02_two.html#end"' in html and 'href="index.html#Terms"' in html
    assert re.search(r'<a href="02_two.html" rel="next"', html) and 'rel="prev"' not in html
    assert re.search(r'<a href="01_one.html" rel="prev"', pages["02_two.html"])
    assert 'href="01_one.html"' in pages["index.html"] and 'id="Terms"' in pages["index.html"]
    assert "<table>" in pages["index.html"] and "<math" in pages["index.html"]


def test_the_search_knows_every_section_and_no_output(pages):
    index = json.loads(pages["sections.js"].removeprefix("const SECTIONS = ").rstrip().removesuffix(";"))
    found = {(file, anchor, heading) for file, _, anchor, heading, _ in index}
    assert {("01_one.html", "Equation", "Equation"), ("index.html", "Terms", "Terms")} <= found
    text = next(text for *_, heading, text in index if heading == "Equation")
    assert "Np" in text and "figures.grid" in text and sys.executable not in pages["sections.js"]


def test_only_our_own_scripts_and_nothing_from_elsewhere(pages):
    for name, html in pages.items():
        if name.endswith(".html"):
            assert re.findall(r"<script\b([^>]*)>", html) == [' src="course.js"', ' defer="" src="sections.js"']
            assert not re.search(r"""(src|<link[^>]*href)=["']https?:""", html)
            policy = re.search(r"""<meta content="(default-src[^"]*)" http-equiv="Content-Security-Policy"/>""", html)[
                1
            ]
            assert "http" not in policy and "script-src 'self';" in policy


def test_files_of_others_stay_and_nothing_unfinished_is_left(built):
    assert built[1].pop("mine.txt") == "left alone"
    assert not [name for name in (*built[0], *built[1]) if name.startswith(".")]


def test_real_notebooks_can_be_pages(tmp_path):
    notebooks = course_folder(ROOT / "notebooks")
    books = {file.stem: nbformat.read(file, 4) for file in sorted(notebooks.glob("*.ipynb"))[6:8]}
    write(books, notebooks, tmp_path, False)
    assert "\\" not in "".join(re.findall(r"<math.*?</math>", (tmp_path / "07_anomaly_score.html").read_text("utf-8")))


def test_a_failing_notebook_is_named_first_and_nothing_changes(tmp_path, monkeypatch):
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), tmp_path / "03_broken.ipynb")
    (tmp_path / "README.md").write_text("# Course")
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("the old page")
    with pytest.raises(FailingNotebook, match=r"\A03_broken\.ipynb: "):
        site(out, tmp_path)
    assert {path.name: path.read_text() for path in out.iterdir()} == {"index.html": "the old page"}
    monkeypatch.setattr(command, "execute", lambda file: (_ for _ in ()).throw(FailingNotebook(f"{file.name}: 1 / 0")))
    with pytest.raises(SystemExit, match=r"\A03_broken\.ipynb: 1 / 0"):
        main(["site", str(out), "--notebooks", str(tmp_path)])


def test_a_kernel_that_does_not_respond_is_named(tmp_path, monkeypatch):
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), tmp_path / "03_slow.ipynb")

    def execute(self, **_):
        raise RuntimeError(f"Kernel didn't respond in {self.startup_timeout} seconds")

    monkeypatch.setattr(command.NotebookClient, "execute", execute)
    with pytest.raises(FailingNotebook, match=r"\A03_slow\.ipynb: .* in 1800 seconds"):
        command.execute(tmp_path / "03_slow.ipynb")


def test_what_is_missing_or_in_the_way_is_reported_before_anything_runs(tmp_path, folder, capsys, monkeypatch):
    monkeypatch.setattr(command, "execute", lambda file: pytest.fail("a notebook ran"))
    with pytest.raises(FileNotFoundError, match="notebooks was"):
        site(tmp_path / "out", tmp_path)
    (tmp_path / "01.ipynb").touch()
    with pytest.raises(FileNotFoundError, match=r"it lacks README\.md"):
        site(tmp_path / "out", tmp_path)
    (tmp_path / "file").touch()
    for arguments in (
        ["site", str(tmp_path / "file"), "--notebooks", str(folder)],
        ["pictures", str(tmp_path / "file")],
    ):
        with pytest.raises(SystemExit, match="1"):
            main(arguments)
        said = capsys.readouterr().err
        assert "a file is there" in said and "Traceback" not in said


def test_the_current_folder_is_the_default(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    assert course_folder(None) == folder
    (tmp_path / "notebooks").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    assert course_folder(None) == tmp_path / "notebooks"


def test_the_workflow_publishes_what_it_builds(monkeypatch):
    """Tests .github/workflows/pages.yml as far as possible without GitHub: its lines are commands that exist."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text("utf-8"))
    assert workflow["jobs"]["publish"]["needs"] == "build"
    assert workflow["jobs"]["publish"]["permissions"] == {"pages": "write", "id-token": "write"}
    steps = workflow["jobs"]["build"]["steps"]
    used = {step["uses"].partition("@")[0]: step.get("with") for step in steps if "uses" in step}
    install, build, check = [step["run"] for step in steps if "run" in step]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert re.fullmatch(r'pip install -e "\.\[(\w+)\]"', install)[1] in project["optional-dependencies"]
    assert used["actions/setup-python"]["python-version"] in SpecifierSet(project["requires-python"])
    assert int(used["actions/setup-node"]["node-version"]) >= 18
    written = []
    monkeypatch.setattr(command, "site", lambda out, notebooks: written.append(out))
    assert build.startswith("python -m patchcore_edu ")
    main(build.split()[3:])
    assert written == [used["actions/upload-pages-artifact"]["path"]]
    assert check == f"test -f {written[0]}/playground.html"

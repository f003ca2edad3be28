"""Links in the README and the notebooks lead to files, headings and settings that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from patchcore_edu.playground.bundle import PAGE
from patchcore_edu.playground.material import constants

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "notebooks").glob("*.md")), *sorted((ROOT / "notebooks").glob("*.ipynb"))]


def prose(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".md":
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose(page))
    files = [target for target in targets if "://" not in target]
    missing = [target for target in files if not (page.parent / target).exists()]
    assert targets and not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_colour_applies_only_to_its_symbol(page):
    # Without a group of its own, \color{…} colours the rest of the formula in one renderer and one letter in another.
    assert all(before == "{" for before in re.findall(r"(.)\\color\{", prose(page)))


def test_each_notebook_leads_to_settings_that_the_playground_has(require, backbone):
    """The playground's own parser reads them: it rejects nothing, and writing them again changes nothing."""
    require(shutil.which("node"), "Node.js")
    fragments = {}
    for page in PAGES:
        if page.suffix == ".ipynb":
            [fragments[page.stem]] = re.findall(r"\]\(playground\.html#(.*?)\)", prose(page))
    assert len(fragments) == 12
    known, _ = constants(backbone)
    code = f"const KNOWN = {json.dumps(known)};\n{(PAGE / 'settings.js').read_text('utf-8')}"
    code += "const read = JSON.parse(require('fs').readFileSync(0)).map((text) => fromFragment('#' + text));"
    code += "console.log(JSON.stringify(read.map((one) => [one.nonsense, toFragment(one.settings)])));"
    given = json.dumps([*fragments.values(), "p=4&levels=2,9&ratio=0.1"])
    done = subprocess.run(["node", "-e", code], input=given, capture_output=True, text=True, check=True)
    *read, (nonsense, _) = json.loads(done.stdout)
    assert nonsense == ["p=4", "levels=2,9"]
    for (nonsense, settings), fragment in zip(read, fragments.values(), strict=True):
        assert nonsense == [] and set(fragment.split("&")) <= set(settings[1:].split("&"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_anchors_lead_to_headings(page):
    for target, anchor in re.findall(r"\]\(([^)#\s:]+)#([^)\s]+)\)", prose(page)):
        if target == "playground.html":
            continue
        headings = re.findall(r"^#+ +(.*)", prose(page.parent / target), flags=re.MULTILINE)
        assert anchor in [heading.replace(" ", "-") for heading in headings], (target, anchor)


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".ipynb"], ids=lambda page: page.name)
def test_a_notebook_listed_under_where_people_asked_links_there(page):
    shown = re.findall(r"^\|[^|]+\| ([\d, ]+) \|", prose(page.with_name("README.md")), flags=re.MULTILINE)
    if page.name[:2] in ", ".join(shown):
        assert "README.md#Where-people-asked" in prose(page)

"""Links between the README, the notebooks and their pictures lead somewhere."""

import json
import re
from pathlib import Path

import pytest

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
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert targets and not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_colour_ends_with_its_symbol(page):
    # \color{…} without a group of its own colours the rest of the formula in one renderer and one letter in another.
    assert all(before == "{" for before in re.findall(r"(.)\\color\{", prose(page)))

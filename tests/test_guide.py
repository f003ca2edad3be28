"""The teacher's guide: its minutes add up, and the pictures, exercises, buttons and commands that it names exist."""

import argparse
import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from patchcore_edu.__main__ import main

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
GUIDE = (NOTEBOOKS / "README.md").read_text("utf-8")
PAGE = Path(__file__).parent.parent / "patchcore_edu" / "playground" / "page"


def section(title: str) -> str:
    return GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """Return the rows of a section's table, without the header."""
    table = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


@pytest.mark.parametrize("title, total", [("A workshop of 90 minutes", 90), ("Half a day (four hours)", 240)])
def test_the_minutes_add_up(title, total):
    begun = 0
    for start, _, minutes in rows(title):
        assert int(start) == begun
        begun += int(minutes)
    assert begun == total


def test_every_picture_that_a_question_is_asked_at_exists():
    places = [where for where, *_ in rows("Questions to ask at each picture")]
    for where in (place for place in places if not place.startswith("playground")):
        number, heading = where.split(", ", 1)
        [path] = NOTEBOOKS.glob(f"{number}_*.ipynb")
        cells = json.loads(path.read_text("utf-8"))["cells"]
        headings = [line for cell in cells for line in cell["source"] if line.startswith("##")]
        assert any(line.lstrip("# ").startswith(heading) for line in headings), where
    assert len(places) > 15


def test_every_exercise_that_is_named_exists():
    named = re.findall(r"exercise (\d) of (\d\d)|(\d\d)_\w+, exercise (\d)", GUIDE)
    assert len(named) > 5
    for exercise, notebook in {(a or d, b or c) for a, b, c, d in named}:
        [path] = NOTEBOOKS.glob(f"{notebook}_*.ipynb")
        assert re.search(rf'"\*\*{exercise}\. ', path.read_text("utf-8")), (notebook, exercise)


def test_every_button_of_the_playground_that_is_named_exists():
    page = (PAGE / "playground.html").read_text("utf-8") + (PAGE / "lessons.js").read_text("utf-8")
    for button in ("Take the tour", "Break it", "Clear"):
        assert f"*{button}*" in GUIDE and f">{button}<" in page
    steps = page.split("const TOUR = [")[1].split("\n];")[0].count("\n  [")
    assert steps == 8 and "*Take the tour*, eight steps" in GUIDE


def test_every_command_that_is_named_is_understood(monkeypatch, capsys):
    lines = re.findall(r"python -m patchcore_edu (\w+)([^`\n]*)", GUIDE)
    assert {name for name, _ in lines} >= {"doctor", "hub", "pack", "playground", "progress"}
    for name, rest in lines:
        command, parser = import_module(f"patchcore_edu.commands.{name}"), argparse.ArgumentParser()
        command.arguments(parser)
        parser.parse_args(rest.replace("…", "").split())
    with pytest.raises(SystemExit):
        main(["no-such-command"])

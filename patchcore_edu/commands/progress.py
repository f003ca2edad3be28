"""The teacher's view without a hub: who has solved what, and which common mistakes were made most often."""

import argparse
import re
import sys
from pathlib import Path

from patchcore_edu.checks import EXERCISES
from patchcore_edu.checks.machinery.record import FILE
from patchcore_edu.workshop.teacher import read_row, report


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", nargs="+", type=Path, help="with the learners' files, or a hub's state folder")


def run(chosen: argparse.Namespace) -> int:
    return progress(chosen.folders)


def progress(folders: list[Path]) -> int:
    """Print the progress of all learners whose files are in or below `folders`; return 1 if there are none.

    A learner is named after the folder that holds the file; in a hub's state folder, that is the seat.
    """
    files = {file for folder in folders for name in (FILE, "progress.json") for file in folder.glob(f"**/{name}")}
    if not files:
        print(f"no progress file in {', '.join(map(str, folders))}", file=sys.stderr)
        return 1
    names = {file: re.sub(r"^seat-\w{4}-", "", file.absolute().parent.name) for file in sorted(files)}
    rows = [read_row(name if name.isprintable() else ascii(name), file) for file, name in names.items()]
    print(report(rows, tuple((exercise.notebook, exercise.name) for exercise in EXERCISES)))
    return 0

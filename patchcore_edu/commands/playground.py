"""The playground: PatchCore live in one page that needs no Python."""

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir

from patchcore_edu.files import folder_to_write, replacing
from patchcore_edu.playground import build
from patchcore_edu.playground.bundle import LAB


def arguments(parser: ArgumentParser) -> None:
    what = "the folder to write to, created if missing (default: where the notebooks' links in JupyterLab lead)"
    parser.add_argument("out", nargs="?", help=what)


def run(chosen: Namespace) -> None:
    out = extension() / "static" if chosen.out is None else folder_to_write(chosen.out)
    build(out)
    files = [out / "playground.html", *sorted((out / "playground").iterdir())]
    for file in files:
        print(f"  {file.stat().st_size / 1e6:6.1f} MB  {file.relative_to(out)}")
    print(f"Open {files[0]} in a browser; no server and no network are needed.")
    if chosen.out is None:
        link(out.parent)
        print("In JupyterLab, the link at the top of each notebook opens it. Reload JupyterLab's page first.")


def extension() -> Path:
    """The folder of the course's JupyterLab extension: this Python's, or where that is read-only, this user's."""
    shared = Path(sys.prefix, "share", "jupyter")
    there = next(folder for folder in (shared, *shared.parents) if folder.exists())
    return (shared if os.access(there, os.W_OK) else Path(jupyter_data_dir())) / "labextensions" / "patchcore-edu"


def link(folder: Path) -> None:
    """Turn a folder into an extension: notebooks' links then open the playground in its folder `static`."""
    for name, to in {"links.js": folder / "static", "package.json": folder}.items():
        with replacing(to / name) as file:
            file.write((LAB / name).read_bytes())

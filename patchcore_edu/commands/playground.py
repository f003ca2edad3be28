"""The playground: PatchCore live in one page that needs no Python."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from patchcore_edu.playground import build


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("out", help="the folder to write to; made if it is not there")


def run(chosen: Namespace) -> None:
    out = Path(chosen.out)
    build(out)
    files = [out / "playground.html", *sorted((out / "playground").iterdir())]
    for file in files:
        print(f"  {file.stat().st_size / 1e6:6.1f} MB  {file.relative_to(out)}")
    print(f"Open {files[0]} in a browser; no server and no network are needed.")

"""The pack for a room without internet: wheels, notebooks, the site with its playground, and a page of instructions."""

import platform
import shutil
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from importlib.metadata import Distribution, distribution
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from patchcore_edu.commands.site import course_folder, site
from patchcore_edu.files import folder_to_write, replacing

PROJECT = "patchcore-edu"
START = "START_HERE.html"
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Start here: patchcore_edu without internet</title>
<style>body {{ max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font: 17px/1.5 sans-serif }}
pre {{ background: #f2f2f2; padding: .8rem; overflow-x: auto }}</style></head><body>
<h1>Start here</h1>
<p>This folder ({size:.1f} GiB) holds the course. Nothing in it needs internet.</p>
<h2>Read and play, without installing anything</h2>
<p>Open <a href="site/index.html">the pages of the course</a> in a browser: every notebook with its results, and the
playground if it was built.</p>
<h2>Install, to run and change the code</h2>
<p>The wheels are for <strong>{system} on {machine} with Python {python}</strong>, as on the computer that made this
folder. On another system, or with another Python, pip says that it finds no matching distribution. Then use the pages
above, or make a folder like this on such a computer.</p>
<p>Open a terminal in this folder and type:</p>
{commands}
<p>Each of the doctor's lines begins with ok, or says what to do. The demo saves a picture, and the last line opens the
course. If others use this stick too, copy <code>notebooks</code> to your own disk first.</p>
</body></html>
"""
# Outside the pack: the format of many sticks allows no virtual environment.
SYSTEMS = {
    "Windows, in the Command Prompt": {
        "python": "py",
        "venv": r"%USERPROFILE%\patchcore",
        "bin": r"%USERPROFILE%\patchcore\Scripts" + "\\",
    },
    "Linux, macOS": {"python": "python3", "venv": "~/patchcore", "bin": "~/patchcore/bin/"},
}
LINES = (
    "{python} -m venv {venv}",
    "{bin}python -m pip install --no-index --find-links wheels patchcore-edu",
    "{bin}python -m patchcore_edu doctor",
    "{bin}python -m patchcore_edu demo",
    "{bin}python -m jupyter lab notebooks",
)
# Measured (tests/benchmarks/README.md): the size of wheels as a share of their installed size; how long the site takes.
PACKED, SITE_MINUTES, MIB_A_SECOND = 0.6, 4, 20
NOT_PACKED = shutil.ignore_patterns(".*", "__pycache__")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("out", help="the folder to write to, new or empty: a USB stick, for example")
    parser.add_argument("--notebooks", help="the folder of the notebooks (default: here, or in notebooks/)")


def run(chosen: Namespace) -> None:
    pack(chosen.out, chosen.notebooks)


def pack(out: str | Path, notebooks: str | Path | None = None) -> None:
    """Write everything the course needs into one folder, from which it installs without a network.

    The wheels have this machine's versions, and are for its system, its processor and its Python.

    Args:
        out: the folder to write to: new, or empty.
        notebooks: the folder of the notebooks, inside the project's own. Without it, the current one or `notebooks`.

    Raises:
        FileNotFoundError: if there are no notebooks, or no project beside them.
        OSError: if `out` has files, cannot be written to, or has too little room; or if a wheel cannot be obtained.
    """
    folder = course_folder(notebooks)
    if not (folder.parent / "pyproject.toml").is_file():
        raise FileNotFoundError(f"{folder.parent} has no pyproject.toml; the pack is made from the project's folder")
    out = folder_to_write(out)
    if any(out.iterdir()):
        raise FileExistsError(f"out was {str(out)!r}, which has files in it; it must be a new or empty folder")
    needed = needs(PROJECT)
    room = sum(map(mib, needed)) * PACKED
    minutes = SITE_MINUTES + room / MIB_A_SECOND / 60
    print(f"About {room / 1024:.1f} GiB in {len(needed) + 1} wheels, and about {minutes:.0f} minutes, with a network")
    print(f"of {MIB_A_SECOND} MiB a second and nothing else running; of that, {SITE_MINUTES} minutes are for the site:")
    print("it runs all notebooks.", flush=True)
    free = shutil.disk_usage(out).free / 2**20
    if free < room:
        raise OSError(f"{out} has room for {free / 1024:.1f} GiB; the pack needs about {room / 1024:.1f} GiB")
    # What can fail without a network comes first.
    wheels([f"{found.name}=={found.version}" for found in needed], out / "wheels")
    with TemporaryDirectory() as copy:  # pip builds where the sources are, and leaves its files there
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(folder.parent / name, copy)
        shutil.copytree(folder.parent / "patchcore_edu", f"{copy}/patchcore_edu", ignore=NOT_PACKED)
        wheels([copy], out / "wheels")
    shutil.copytree(folder, out / "notebooks", ignore=NOT_PACKED)
    site(out / "site", folder)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 2**30
    with replacing(out / START) as file:
        file.write(start_here(size).encode())
    print(f"{size:.1f} GiB in {out}: open {START}")


def needs(name: str) -> list[Distribution]:
    """All installed packages that a package needs, directly or indirectly, without itself.

    Raises:
        PackageNotFoundError: if one is missing.
    """
    root, found, seen, waiting = name, {}, set(), [(name, frozenset())]
    while waiting:
        name, extras = asked = waiting.pop()
        if asked in seen:
            continue
        seen.add(asked)
        found[name] = distribution(name)
        for requirement in map(Requirement, found[name].requires or ()):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    del found[root]
    return [found[name] for name in sorted(found)]


def mib(package: Distribution) -> float:
    """The disk space that an installed package takes."""
    return sum(file.size or 0 for file in package.files or ()) / 2**20


def wheels(requirements: list[str], folder: Path) -> None:
    """Let pip download or build the wheel of each requirement, and of nothing else.

    Raises:
        OSError: if pip fails; by then it has said why.
    """
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-cache-dir", "--wheel-dir", str(folder)]
    if subprocess.run([*pip, *requirements]).returncode:
        raise OSError("pip could not get all wheels: see above")


def start_here(size: float) -> str:
    """The page to open first in the folder; `size` in GiB."""
    return PAGE.format(
        size=size,
        system={"Darwin": "macOS"}.get(platform.system(), platform.system()),
        machine=platform.machine(),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        commands="".join(f"<h3>{system}</h3>\n<pre>{chr(10).join(commands(system))}</pre>\n" for system in SYSTEMS),
    )


def commands(system: str) -> list[str]:
    """The lines to type into a terminal opened in the pack.

    >>> commands("Linux, macOS")[1]
    '~/patchcore/bin/python -m pip install --no-index --find-links wheels patchcore-edu'
    """
    return [line.format(**SYSTEMS[system]) for line in LINES]

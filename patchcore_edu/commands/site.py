"""The static edition: every notebook as a web page that needs neither a kernel nor a network, and the playground."""

import json
import os
import shutil
from argparse import ArgumentParser, Namespace
from concurrent.futures import ThreadPoolExecutor
from errno import ENOSPC
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode
from tqdm.auto import tqdm

from patchcore_edu.commands.pages import HERE, highlighting, page, sections, title
from patchcore_edu.files import folder_to_write
from patchcore_edu.workshop.capacity import free_disk_mib

INDEX = "README.md"
CELL = 1800
"""Seconds that a cell may take: the slowest take a minute here, and longer on slower machines."""
DISK_MIB = 50
"""What must be free before notebooks run: more than the pages and the playground take."""
TOGETHER = 2
"""Notebooks that run at the same time: a small laptop has two cores."""


class FailingNotebook(Exception):
    """A cell fails; the message begins with the notebook's name."""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("out", help="the folder to write to")
    parser.add_argument("--notebooks", help="the folder of the notebooks (default: here, or in notebooks/)")


def run(chosen: Namespace) -> None:
    try:
        site(chosen.out, chosen.notebooks)
    except FailingNotebook as error:
        raise SystemExit(str(error)) from None


def site(out: str | Path, notebooks: str | Path | None = None) -> None:
    """Run all notebooks and write them as web pages, with a table of contents, a search, and the playground.

    All pages are complete before the first one in `out` changes. Other files in `out` are left alone.

    Args:
        out: the folder to write to; created if missing.
        notebooks: the folder of the notebooks and of the README.md that becomes the table of contents. Without it,
            the current folder or its folder `notebooks`.

    Raises:
        FileNotFoundError: if there is no notebook or no README.md in `notebooks`.
        OSError: if `out` cannot be written to.
        FailingNotebook: if a cell fails.
    """
    folder, out = course_folder(notebooks), folder_to_write(out)
    if (free := free_disk_mib(out)) < DISK_MIB:  # not after all notebooks have run
        raise OSError(ENOSPC, f"{out} cannot be written: {free} MiB are free, and the site takes {DISK_MIB}")
    files = sorted(folder.glob("*.ipynb"))
    with ThreadPoolExecutor(TOGETHER) as pool:
        try:
            books = dict(zip(files, tqdm(pool.map(execute, files), total=len(files), desc="notebooks"), strict=True))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # otherwise the rest would run for nothing
            raise
    with TemporaryDirectory(dir=out, prefix=".new-") as aside:
        write({file.stem: book for file, book in books.items()}, folder, Path(aside), playground(Path(aside)))
        put(Path(aside), out)


def course_folder(notebooks: str | Path | None) -> Path:
    """The folder of the notebooks: the one named, the current one, or its folder `notebooks`."""
    tried = [Path(notebooks)] if notebooks is not None else [Path.cwd(), Path.cwd() / "notebooks"]
    folder = next((path for path in tried if any(path.glob("*.ipynb"))), None)
    if folder is None:
        where = " or ".join(repr(str(path)) for path in tried)
        raise FileNotFoundError(f"notebooks was {where}; it must be a folder with the course's notebooks")
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(f"notebooks was {str(folder)!r}; it lacks {INDEX}, the table of contents")
    return folder.absolute()


def execute(file: Path) -> NotebookNode:
    """Run one notebook in a kernel of this same Python, whatever other kernels are installed."""
    book = nbformat.read(file, as_version=4)
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(
        book,
        km=kernel,
        timeout=CELL,
        startup_timeout=CELL,
        store_widget_state=False,
        resources={"metadata": {"path": str(file.parent)}},
    )
    try:
        client.execute(cleanup_kc=True)  # otherwise a kernel that is passed in lives on, with a gigabyte
    except (CellExecutionError, CellTimeoutError, RuntimeError) as error:  # the last: no kernel responds, or it died
        raise FailingNotebook(f"{file.name}: {error}") from error
    return book


def playground(out: Path) -> bool:
    """Build the playground beside the pages; if something is missing, say what to install, and return False."""
    try:
        from patchcore_edu.playground import build

        build(out, course=True)
    except (ImportError, RuntimeError) as missing:
        print(f"The course is built without the playground: {missing}")
        return False
    return True


def write(books: dict[str, NotebookNode], folder: Path, out: Path, playground: bool) -> None:
    """Write the pages of notebooks {name: notebook}, the table of contents, and what they share."""
    contents = nbformat.v4.new_markdown_cell((folder / INDEX).read_text(encoding="utf-8"))
    books = {"index": nbformat.v4.new_notebook(cells=[contents])} | books
    names = [
        {"file": f"{name}.html", "title": title(book), "short": name.partition("_")[0]} for name, book in books.items()
    ]
    index = []
    for i, (here, book) in enumerate(zip(names, books.values(), strict=True)):
        # The table of contents is linked by name; it is not the previous page of any.
        neighbours = {"previous": names[i - 1] if i > 1 else None, "next": names[i + 1] if i + 1 < len(names) else None}
        html = page(book, folder, title=here["title"], playground=playground, **neighbours)
        (out / here["file"]).write_text(html, encoding="utf-8")
        index += sections(html, here["file"], here["title"])
    (out / "sections.js").write_text(f"const SECTIONS = {json.dumps(index, ensure_ascii=False)};\n", encoding="utf-8")
    shutil.copy(HERE / "course.js", out)
    for name, style in {"course.css": "default", "dark.css": "github-dark"}.items():
        text = (HERE / name).read_text(encoding="utf-8")
        (out / name).write_text(f"{text}\n{highlighting(style)}\n", encoding="utf-8")


def put(aside: Path, out: Path) -> None:
    """Move all files of one folder into another, each in place of the old one."""
    for file in sorted(path for path in aside.rglob("*") if path.is_file()):
        to = out / file.relative_to(aside)
        to.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, to)

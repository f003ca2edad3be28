"""How much memory each notebook's kernel uses (Linux): what it shares with no other process, and the peak.

    python tests/benchmarks/memory.py [NOTEBOOK …]

Each notebook runs in two kernels, and the second is measured while the first is still alive: as in a course, they share
the code that both have loaded and the files that both have mapped. Memory that is not shared is Private_Clean +
Private_Dirty in /proc/PID/smaps_rollup; PSS counts a page that n processes share as 1/n of a page. The peak is the
highest of the samples taken every 50 ms. The kernels have the environment of a workshop's seats.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import nbformat
from nbclient import NotebookClient

from patchcore_edu.workshop.settings import LEAN_KERNELS

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
EVERY = 0.05
"""Seconds from one sample to the next."""


def memory(pid: int) -> tuple[float, float]:
    """Return (memory not shared, PSS) of a process, in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024, kib["Pss"] / 1024


@contextmanager
def peak(pid: int) -> Iterator[list[tuple[float, float]]]:
    """Sample a process during the block; the list then holds all samples."""
    samples, done = [memory(pid)], Event()

    def watch() -> None:
        while not done.wait(EVERY):
            samples.append(memory(pid))

    thread = Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()
        samples.append(memory(pid))


@contextmanager
def kernel(path: Path) -> Iterator[tuple[NotebookClient, int]]:
    """Yield a fresh kernel for a notebook, and its process number."""
    client = NotebookClient(
        nbformat.read(path, as_version=4), timeout=600, resources={"metadata": {"path": str(path.parent)}}
    )
    client.create_kernel_manager()
    client.start_new_kernel()
    client.start_new_kernel_client()
    try:
        yield client, client.km.provisioner.pid
    finally:
        client._cleanup_kernel()


def run(client: NotebookClient) -> None:
    for index, cell in enumerate(client.nb.cells):
        client.execute_cell(cell, index)


def main(names: list[str]) -> None:
    paths = [NOTEBOOKS / f"{name}.ipynb" for name in names] or sorted(NOTEBOOKS.glob("*.ipynb"))
    os.environ.update(LEAN_KERNELS)
    print(f"{'MiB':<18} {'imports':>8} {'end':>8} {'end PSS':>8} {'peak':>8} {'peak PSS':>8}")
    for path in paths:
        with kernel(path) as (first, _), kernel(path) as (second, pid):
            run(first)
            code = [i for i, cell in enumerate(second.nb.cells) if cell.cell_type == "code"]
            second.execute_cell(second.nb.cells[code[0]], code[0])
            imports, _ = memory(pid)
            with peak(pid) as samples:
                run(second)
            end, end_pss = memory(pid)
        highest = [max(column) for column in zip(*samples, strict=True)]
        figures = (imports, end, end_pss, *highest)
        print(f"{path.stem:<18} " + " ".join(f"{mib:8.0f}" for mib in figures), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

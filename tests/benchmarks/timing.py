"""Time several codes side by side, and print how many times as long as ours each took."""

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path

import torch

LONG = 20  # seconds; a code that takes longer runs only once
LIMIT_GIB = 12  # memory for the data of one code, so that none can exhaust the machine


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_a_new_process() -> Pool:
    """A pool of one process, so that every code has its own heap.

    anomalib's coreset can leave a hole in the heap at every pick, too small for its next array. In a shared process
    the heap grew to 23 GiB and slowed all of them down.
    """
    return get_context("spawn").Pool(1, initializer=_limit_memory)


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_GIB * 2**30, LIMIT_GIB * 2**30))


@contextmanager
def one_core_busy() -> Iterator[None]:
    """During the block, another process takes as much of a core as it can, like a browser or a video call."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def on_one_thread(call: Callable[[], object]) -> object:
    """Run `call` with PyTorch on one thread, also in the processes that it starts."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    return call()


def side_by_side(calls: dict[str, Callable | None], repeats: int) -> dict[str, list[float] | str]:
    """Return the seconds of every repeat of every code, or why there are none.

    The repeats are interleaved, so that other load on the machine affects all of them. A first round, which does not
    count, fills caches and starts threads; it counts only for a code that takes too long to run again.
    """
    times = {name: [] if call else "not installed" for name, call in calls.items()}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(in_a_new_process()) for name, call in calls.items() if call}
        for repeat in range(repeats + 1):
            for name, worker in workers.items():
                if isinstance(times[name], str) or (times[name] and times[name][0] > LONG):
                    continue
                try:
                    taken = worker.apply(seconds, (calls[name],))
                except RuntimeError as error:
                    if "allocate memory" not in str(error):
                        raise
                    times[name] = f"needs over {LIMIT_GIB} GiB"
                    continue
                if repeat > 0 or taken > LONG:
                    times[name].append(taken)
    return times


def cell(own: list[float], theirs: list[float] | str) -> str:
    """Their median time and its ratio to ours: median (lowest to highest over the repeats)."""
    if isinstance(theirs, str):
        return theirs
    ratios = [b / a for a, b in zip(own, theirs, strict=False)]
    spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else " (once)"
    return f"{statistics.median(theirs):.3g} s, **{statistics.median(ratios):.2f} ×**{spread}"


class Table:
    """A Markdown table, printed row by row as the measurements come in."""

    def __init__(self, title: str, sizes: str, rivals: list[str], repeats: int):
        self.rivals, self.repeats = rivals, repeats
        print(f"\n### {title}\n\n| {sizes} | ours | {' | '.join(rivals)} |\n|{'---|' * (len(rivals) + 2)}", flush=True)

    def row(self, size: str, ours: Callable, rivals: dict[str, Callable | None]) -> None:
        times = side_by_side({"ours": ours, **rivals}, self.repeats)
        own = times["ours"]
        cells = [cell(own, times[name]) for name in self.rivals]
        spread = f" ({min(own):.3g} to {max(own):.3g})"
        print(f"| {size} | {statistics.median(own):.3g} s{spread} | {' | '.join(cells)} |", flush=True)


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def machine() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    packages = ", ".join(f"{name} {installed(name) or 'missing'}" for name in ("torch", "anomalib", "faiss-cpu"))
    return (
        f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f} "
        f"before the start; Python {platform.python_version()}, {packages}"
    )

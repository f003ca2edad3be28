"""Times rivals side by side, and writes down how many times as long as ours each of them took."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

LONG = 10  # seconds; whoever takes longer runs once


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def side_by_side(ours: Callable, rivals: dict[str, Callable | None], repeats: int) -> tuple[list, dict[str, list]]:
    """Seconds of every repeat, ours and each rival's; a rival that is None is not installed.

    The repeats are interleaved: whatever else the machine does, it does to all of them. One round before, which
    does not count, fills caches and starts threads.
    """
    times = {name: [] for name in rivals}
    own = []
    ours()
    for _ in range(repeats):
        own.append(seconds(ours))
        for name, call in rivals.items():
            if call is not None and not (times[name] and times[name][0] > LONG):
                times[name].append(seconds(call))
    return own, times


def cell(own: list[float], theirs: list[float]) -> str:
    """Their median time, and how many times as long as ours it is: median (lowest to highest over the repeats)."""
    if not theirs:
        return "not installed"
    ratios = [b / a for a, b in zip(own, theirs, strict=False)]
    spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else " (once)"
    return f"{statistics.median(theirs):.3g} s, **{statistics.median(ratios):.2f} ×**{spread}"


class Table:
    """A markdown table, printed row by row as the measurements come in."""

    def __init__(self, title: str, sizes: str, rivals: list[str], repeats: int):
        self.rivals, self.repeats = rivals, repeats
        print(f"\n### {title}\n\n| {sizes} | ours | {' | '.join(rivals)} |\n|{'---|' * (len(rivals) + 2)}", flush=True)

    def row(self, size: str, ours: Callable, rivals: dict[str, Callable | None]) -> None:
        own, times = side_by_side(ours, rivals, self.repeats)
        cells = [cell(own, times[name]) if name in times else "" for name in self.rivals]
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

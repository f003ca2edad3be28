"""A file is written beside the old one and then put in its place: whatever happens, one whole file is there."""

import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from time import monotonic, sleep
from typing import BinaryIO

LOCK_SECONDS = 5


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Yield an open binary file; if the block ends well, it becomes `path`; otherwise `path` stays as it was.

    Raises:
        OSError: naming `path`, if its folder is missing or it cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with replacing(f"{folder}/new.txt") as file:
        ...         _ = file.write(b"whole")
        ...     Path(folder, "new.txt").read_text()
        'whole'
    """
    target = writable(path)
    unfinished = target.with_name(f".{token_hex(8)}.tmp")
    try:
        with open(unfinished, "xb") as file:
            if target.exists():
                shutil.copymode(target, unfinished)
            yield file
            file.flush()
            os.fsync(file.fileno())  # otherwise the new name may reach the disk before the file's contents
        os.replace(unfinished, target)
    except OSError as error:
        raise _named(error, path) from error
    finally:
        unfinished.unlink(missing_ok=True)


def writable(path: str | Path) -> Path:
    """The file that `path` leads to through links, or an OSError that says why it cannot be written.

    >>> writable("no/such/folder/demo.png")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] no/such/folder/demo.png cannot be written: the folder no/such/folder is missing
    """
    _check_path(path)
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(f"{path} cannot be written: it is a link that leads back to itself")
    if not target.parent.is_dir():
        what = "is a file" if target.parent.exists() else "is missing"
        raise FileNotFoundError(2, f"{path} cannot be written: the folder {Path(path).parent} {what}")
    if target.exists() and not target.is_file():
        raise OSError(
            f"{path} cannot be written: {'a folder is there' if target.is_dir() else 'it is not an ordinary file'}"
        )
    place = target if target.exists() else target.parent
    if not os.access(place, os.W_OK):
        raise PermissionError(13, f"{path} cannot be written: {place} is read-only")
    return target


def folder_to_write(path: str | Path) -> Path:
    """The absolute path of a folder, created if missing, or an OSError that says what is in the way.

    >>> folder_to_write(__file__)
    Traceback (most recent call last):
    NotADirectoryError: [Errno 20] ...files.py cannot be a folder: a file is there
    """
    if not os.fspath(path):  # as from an unset variable in a script; Path takes it for the current folder
        raise FileNotFoundError(2, "'' is not the name of a folder")
    folder = Path(path).absolute()
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise NotADirectoryError(20, f"{path} cannot be a folder: a file is there")
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(13, f"{path} cannot be written to: it is read-only")
    return folder


def ordinary(path: str | Path) -> Path:
    """The path, if an ordinary file is there: reading from a pipe could wait for ever.

    >>> ordinary("no/such/bank.npz")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'no/such/bank.npz'
    """
    _check_path(path)
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"{path} is {'a folder' if os.path.isdir(path) else 'not an ordinary file'}")
    return Path(path)


def _check_path(path: object) -> None:
    try:
        fits = isinstance(path, str | os.PathLike) and b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        fits = False
    if not fits or not os.fspath(path):  # a number would name an open file
        what = repr(path) if isinstance(path, str) else f"of type {type(path).__name__}"
        raise ValueError(f"path was {what:.200}; it must be the path of a file")


def from_json(text: str) -> object:
    """The value of a JSON text, or a ValueError, even where it is nested too deeply to be read.

    >>> from_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: it is nested too deeply
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _named(error: OSError, path: str | Path) -> OSError:
    """The error, with the requested name instead of the unfinished file's."""
    if error.errno is None:
        return error
    return OSError(error.errno, f"{path} could not be written: {error.strerror}")


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Let one process at a time past for `path`: for code that reads a file and writes it again."""
    lock, began = Path(f"{path}.lock"), monotonic()
    while True:
        try:
            lock.touch(exist_ok=False)
            break
        except FileExistsError:
            # It is held for milliseconds: one that stays was left behind by a killed process.
            if monotonic() - began > LOCK_SECONDS:
                lock.unlink(missing_ok=True)
            sleep(0.01)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)

"""The PIN that each name chose, kept as salted hashes in one file."""

import hashlib
import json
import re
import secrets
from pathlib import Path

from patchcore_edu.files import from_json, ordinary
from patchcore_edu.workshop.settings import write_private

STORED = re.compile("[0-9a-f]{32}:[0-9a-f]{128}")


class Pins:
    """The PIN that each name first logged in with.

    Raises:
        ValueError: if the file is damaged.
        OSError: if it cannot be read.
    """

    def __init__(self, path: Path):
        self._path = path
        self._hashes: dict[str, str] = _read(path)

    def fits(self, name: str, pin: str) -> bool:
        """Whether this is the PIN of `name`: the first one that is ever given with it."""
        salt, _, known = self._hashes.get(name, "").partition(":")
        salt = salt or secrets.token_hex(16)
        digest = hashlib.scrypt(pin.encode(), salt=salt.encode(), n=2**14, r=8, p=1).hex()
        if not known:
            self._keep(self._hashes | {name: f"{salt}:{digest}"})
        return secrets.compare_digest(digest, known or digest)

    def forget(self, name: str) -> None:
        """The next login under `name` chooses a new PIN."""
        if name in self._hashes:
            self._keep({other: stored for other, stored in self._hashes.items() if other != name})

    def _keep(self, hashes: dict[str, str]) -> None:
        write_private(self._path, json.dumps(hashes, indent=1))
        self._hashes = hashes


def _read(path: Path) -> dict[str, str]:
    try:
        # A start that was cut short leaves an empty file.
        hashes = from_json(ordinary(path).read_text("utf-8") or "{}")
        if not isinstance(hashes, dict) or not all(
            isinstance(stored, str) and STORED.fullmatch(stored) for stored in hashes.values()
        ):
            raise ValueError("it does not hold a salted hash for each name")
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}): restore a copy of it, or delete it; "
            "each name then belongs to whoever logs in with it first"
        ) from error
    return hashes

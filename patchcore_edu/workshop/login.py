"""Who may take a seat: a name, the workshop's passphrase, and a personal PIN that keeps others out of the seat."""

import asyncio
import re
import secrets
import time
import unicodedata
from collections import defaultdict, deque
from pathlib import Path

from jupyterhub.auth import Authenticator
from tornado.web import HTTPError
from traitlets import Unicode

from patchcore_edu.workshop.pins import Pins
from patchcore_edu.workshop.settings import TEACHER, plain

WINDOW = 300  # seconds for which a failed attempt counts
TRIES_FOR_A_NAME = 5  # from one address
TRIES_FOR_AN_ADDRESS = 30  # a whole room may share one


def normal_name(typed: str) -> str:
    """Return the name in a standard spelling: no capitals, hyphens for spaces; letters of any script are allowed.

    Raises:
        ValueError: if nothing usable is left, or it is too long.

    >>> normal_name("  Anna  Müller ")
    'anna-müller'
    """
    name = "-".join(unicodedata.normalize("NFKC", typed).casefold().split())
    if not re.fullmatch(r"\w[\w.-]{0,31}", name):
        raise ValueError(f"the name was {typed[:40]!r}; it must be 1 to 32 letters, digits, spaces, dots or hyphens")
    return name


def same_words(typed: str, right: str) -> bool:
    """Compare two passphrases by the parts that count, in constant time."""
    return secrets.compare_digest(plain(typed).encode(), plain(right).encode())


class Tries:
    """Counts failed attempts for each key, and forgets them after WINDOW seconds."""

    def __init__(self):
        self._failed: dict[object, deque[float]] = defaultdict(deque)

    def seconds_to_wait(self, key: object, limit: int) -> int:
        """How long `key` has to wait for its next attempt; 0 if it has fewer than `limit` failed ones."""
        failed, now = self._failed[key], time.monotonic()
        while failed and failed[0] <= now - WINDOW:
            failed.popleft()
        if not failed:
            del self._failed[key]
        return 0 if len(failed) < limit else int(failed[-limit] + WINDOW - now) + 1

    def failed(self, *keys: object) -> None:
        for key in keys:
            self._failed[key].append(time.monotonic())


class SeatLogin(Authenticator):
    """JupyterHub's login with our three fields. The response does not say which one was wrong."""

    passphrase = Unicode(config=True, help="what every learner types")
    teacher_passphrase = Unicode(config=True, help="what the teacher types")
    pin_file = Unicode(config=True, help="where the hashed PINs are kept")

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.tries, self.pins, self._one_at_a_time = Tries(), Pins(Path(self.pin_file)), asyncio.Lock()

    async def authenticate(self, handler, data: dict[str, str]) -> dict | None:
        try:
            name = normal_name(data.get("username", ""))
        except ValueError as error:
            raise HTTPError(403, "%s", error) from None
        address = handler.request.remote_ip
        keys = ((address, name), TRIES_FOR_A_NAME), (address, TRIES_FOR_AN_ADDRESS)
        # One at a time: many simultaneous attempts must not all get through before the first has failed.
        async with self._one_at_a_time:
            wait = max(self.tries.seconds_to_wait(*key) for key in keys)
            if wait:
                raise HTTPError(429, "%s", f"Too many failed attempts. Wait {wait} seconds, or ask the teacher.")
            if not await self._fits(name, data.get("password", ""), data.get("pin", "").strip()):
                self.tries.failed(*(key for key, _ in keys))
                raise HTTPError(403, "%s", "Wrong passphrase, or this name is taken and has another PIN.")
        return {"name": name, "admin": name == TEACHER}

    async def _fits(self, name: str, words: str, pin: str) -> bool:
        if name == TEACHER:
            return same_words(words, self.teacher_passphrase)
        if not same_words(words, self.passphrase):
            return False
        if len(pin) < 4:
            raise HTTPError(403, "%s", "Choose a PIN of at least four characters, and remember it.")
        try:
            return await asyncio.to_thread(self.pins.fits, name, pin)
        except OSError as error:
            raise HTTPError(503, "%s", f"The PIN cannot be saved ({error.strerror}). Ask the teacher.") from error

    def delete_user(self, user) -> None:
        """Free a deleted learner's name."""
        self.pins.forget(user.name)
        super().delete_user(user)

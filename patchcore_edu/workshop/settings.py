"""The settings of a workshop, kept in its state folder: a restart finds them again."""

import json
import os
import secrets
import shutil
import unicodedata
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from patchcore_edu.files import folder_to_write, from_json, replacing

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
TEACHER = "teacher"
MEMORY_MIB = 1536  # the largest notebook needs 1 GiB, and a second kernel must fit beside a small one
LEAN_KERNELS = {
    # Thirty kernels on two cores: more threads would only wait for one another.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # glibc returns an array's memory when it is deleted, instead of keeping it for the next.
    "MALLOC_ARENA_MAX": "1",
    **dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(2**20)),
}
"""The environment of a seat's kernels (measured: tests/benchmarks/README.md)."""
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # no characters that look alike on a projector


def seats_are_apart() -> bool:
    """Whether each seat gets a system user of its own: only root can make them, with Linux's `useradd`."""
    return os.geteuid() == 0 and shutil.which("useradd") is not None


def default_state() -> Path:
    """The state folder: /var/lib/patchcore_edu for root, otherwise patchcore_edu in the user's data directory."""
    if seats_are_apart():
        return Path("/var/lib/patchcore_edu")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "patchcore_edu" / "workshop"


def new_passphrase() -> str:
    """Twelve random characters in three groups (59 bits)."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(3))


def plain(words: str) -> str:
    """The part of a passphrase that counts: capitals, spaces and hyphens do not matter.

    >>> plain("Kite-ROSE lamp")
    'kiteroselamp'
    """
    return "".join(letter for letter in unicodedata.normalize("NFKC", words).casefold() if letter not in " -")


def private_folder(path: Path, mode: int = 0o700) -> Path:
    """Create a folder if it is missing, with exactly these permissions."""
    folder_to_write(path).chmod(mode)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.touch(mode=0o600)  # `replacing` keeps the permissions that it finds
    with replacing(path) as file:
        file.write(text.encode())


@dataclass(frozen=True)
class Settings:
    """One workshop.

    Attributes:
        state: its folder: `hub` holds the database, secrets and these settings, `seats` the learners' homes.
        seats: how many learners' servers may run at once.
        ip, port: where it listens. The next two ports are used on the loopback.
        memory_mib: the memory that one seat may use, all its kernels together.
        idle_minutes: a seat is stopped after so long without activity; its files stay.
        notebooks: the folder that each seat gets a copy of.
        certificate, key: files for TLS, or None for plain HTTP.
        passphrase, teacher_passphrase: what learners type, and what the teacher types.
        exercises: (notebook, name) of each, in the course's order: the hub itself does not load the course.
    """

    state: Path
    seats: int = 30
    ip: str = "127.0.0.1"
    port: int = 8000
    memory_mib: int = MEMORY_MIB
    idle_minutes: float = 60
    notebooks: Path = NOTEBOOKS
    certificate: Path | None = None
    key: Path | None = None
    passphrase: str = ""
    teacher_passphrase: str = ""
    exercises: tuple[tuple[str, str], ...] = ()

    @property
    def hub(self) -> Path:
        return self.state / "hub"

    @property
    def pins(self) -> Path:
        return self.hub / "pins.json"

    @property
    def homes(self) -> Path:
        return self.state / "seats"

    @property
    def cache(self) -> Path:
        return self.state / "cache"

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    def prepared(self) -> "Settings":
        """Create the folders, keep the passphrases of an earlier start or make new ones, and save everything."""
        # Each seat's own user must get through to its home, and no further.
        through = 0o711 if seats_are_apart() else 0o700
        for folder, mode in ((self.state, through), (self.homes, through), (self.hub, 0o700), (self.cache, 0o755)):
            private_folder(folder, mode)
        file = self.hub / "settings.json"
        earlier = Settings.read(self.state) if file.exists() and file.stat().st_size else self
        settings = replace(
            self,
            passphrase=self.passphrase or earlier.passphrase or new_passphrase(),
            teacher_passphrase=earlier.teacher_passphrase or new_passphrase(),
        )
        write_private(file, json.dumps(asdict(settings), default=str, indent=1))
        return settings

    @classmethod
    def read(cls, state: str | Path) -> "Settings":
        """Read what `prepared` wrote.

        Raises:
            ValueError: if it is damaged.
        """
        file = Path(state) / "hub" / "settings.json"
        try:
            stored = from_json(file.read_text("utf-8"))
            paths = {name: Path(stored[name]) for name in ("state", "notebooks", "certificate", "key") if stored[name]}
            return cls(**(stored | paths))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{file} is damaged ({error}): delete it; new passphrases will be made, and the seats are kept"
            ) from error

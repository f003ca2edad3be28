"""Fixtures for a workshop that really runs, with learners in it."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).parent.parent.parent
NUMBERS = count()  # number the workshops that this process opens
# In its own mount namespace, the hub sees instead of the folder $1 one that contains only $2 and is open to everybody:
# Python may be installed in root's home, which the seats' system users cannot enter.
OPEN = """
mkdir -p "$3/${2#$1/}" && chmod -R 755 "$3" && mount --bind "$2" "$3/${2#$1/}" && mount --rbind "$3" "$1" && shift 3 &&
exec "$@"
"""


def free_port() -> int:
    """Return a port that is free, as are the two above it."""
    for first in range(20000 + os.getpid() % 400 * 25, 40000, 3):
        probes = [socket.socket() for _ in range(3)]
        try:
            for number, probe in enumerate(probes):
                probe.bind(("127.0.0.1", first + number))
            return first
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
    raise RuntimeError("no three ports in a row are free")


class Workshop:
    """`python -m patchcore_edu hub` in its own process, on the loopback."""

    def __init__(self, folder: Path, *options: str, state: str = "state", scheme: str = "http"):
        self.folder, self.state, self.port = folder, folder / state, free_port()
        self.address = f"{scheme}://127.0.0.1:{self.port}"
        self.options = ["--ip", "127.0.0.1", "--port", str(self.port), "--state", str(self.state)]
        self.options += ["--notebooks", str(folder / "notebooks"), *options]
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def command(self, *arguments: str) -> list[str]:
        command = [sys.executable, "-m", "patchcore_edu", *arguments]
        top = Path(*Path(sys.base_prefix).parts[:2])
        if os.geteuid() == 0 and not top.stat().st_mode & 0o001:
            shadow = ["unshare", "--mount", "bash", "-ec", OPEN, "open", top, sys.base_prefix, self.folder / "shadow"]
            command = [*map(str, shadow), *command]
        return command

    def start(self) -> None:
        self.output = self.folder / f"output {self.port}"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(self.command("hub", *self.options), env=self.environment, cwd=self.folder,
                                            stdout=output, stderr=output, start_new_session=True)  # fmt: skip
        self.wait()

    def wait(self, seconds: float = 120) -> None:
        """Return as soon as the hub responds through the proxy."""
        context, deadline = ssl._create_unverified_context(), time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.address}/hub/login", timeout=5, context=context).close()
                return
            except OSError:
                time.sleep(0.2)
        log = self.state / "hub" / "hub.log"
        tail = log.read_text()[-3000:] if log.exists() else ""
        raise RuntimeError(f"no workshop:\n{self.output.read_text()}\n{tail}")

    def settings(self):
        from patchcore_edu.workshop.settings import Settings

        return Settings.read(self.state)

    def learner(self, name: str, **given):
        from patchcore_edu.workshop.classroom import Learner

        return Learner(self.address, name, **({"passphrase": self.settings().passphrase} | given))

    def teacher(self):
        from patchcore_edu.workshop.classroom import Learner

        return Learner(self.address, "teacher", self.settings().teacher_passphrase, pin="")

    def log(self) -> str:
        return (self.state / "hub" / "hub.log").read_text()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=60)


@pytest.fixture(scope="session")
def open_folder(require):
    """A folder that every user can read, with copies of the package, two notebooks and their README."""
    require(find_spec("jupyterhub"), "jupyterhub (`pip install -e '.[hub]'`)")
    folder = Path(tempfile.mkdtemp(prefix="hub", dir="/tmp"))
    folder.chmod(0o755)
    shutil.copytree(ROOT / "patchcore_edu", folder / "patchcore_edu", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "notebooks").mkdir()
    for name in ("00_tour.ipynb", "03_aggregation.ipynb", "README.md"):
        shutil.copy(ROOT / "notebooks" / name, folder / "notebooks")
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def opened(open_folder):
    """`with opened(*options) as workshop`: the workshop runs inside the block."""

    @contextmanager
    def opened(*options: str, **given: str):
        workshop = Workshop(open_folder, *options, **given)
        try:
            yield workshop
        finally:
            workshop.stop()
            homes = workshop.state / "seats"
            for home in homes.iterdir() if os.geteuid() == 0 and homes.exists() else ():
                subprocess.run(["userdel", home.name], capture_output=True)

    return opened


@pytest.fixture(scope="module")
def workshop(opened):
    """One workshop for each file: some tests kill what others need, and the workers run the tests in any order."""
    with opened("--seats", "3", "--memory-mib", "700", state=f"state-{next(NUMBERS)}") as workshop:
        yield workshop


@pytest.fixture(scope="session")
def loop():
    """One event loop for all, as learners' sockets belong to it. It runs in a thread: browser tests have their own."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="session")
def run(loop):
    """`run(coroutine)` runs it in `loop` and returns its result."""
    return lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result()


@pytest.fixture(scope="module")
def three(workshop, run):
    """Three learners who have logged in and have a seat, each with a kernel."""
    learners = [workshop.learner(name) for name in ("Anna", "Jürgen Groß", "李明")]

    async def sit(learner):
        assert (await learner.log_in()).code == 200
        await learner.start()
        return await learner.open("00_tour.ipynb")

    async def all_sit():
        return await asyncio.gather(*map(sit, learners))

    return list(zip(learners, run(all_sit()), strict=True))

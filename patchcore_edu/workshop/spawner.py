"""One learner's server: a separate process, with its own system user if the hub runs as root."""

import hashlib
import os
import pwd
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
from jupyterhub.slugs import safe_slug
from jupyterhub.spawner import LocalProcessSpawner, set_user_setuid
from traitlets import Unicode, default

from patchcore_edu.workshop.settings import LEAN_KERNELS, private_folder, seats_are_apart

MIB = 2**20


def seat_home(homes: Path, name: str) -> Path:
    """The home of the learner `name`, named like its system user: with letters that `useradd` accepts."""
    workshop = hashlib.sha256(str(homes).encode()).hexdigest()[:4]
    return homes / f"seat-{workshop}-{safe_slug(name, max_length=20)}"


class Seat(LocalProcessSpawner):
    """A learner's server. Its memory limit (`mem_limit`) is enforced in two ways.

    Linux refuses a process more data than twice the limit (RLIMIT_DATA): Python raises a MemoryError, and the notebook
    goes on. Twice, because PyTorch reserves more than it uses: 00_tour asks for 1266 MiB and uses 830. And whenever
    the hub checks that the server is running, it adds up the memory of all its processes; above the limit it kills the
    largest kernel, which Jupyter reports and restarts. The server itself stays.
    """

    homes = Unicode(config=True, help="the folder of all seats' homes")
    notebooks = Unicode(config=True, help="what is copied into each")
    cache = Unicode(config=True, help="feature maps and a fitted model that all seats map, and only the hub writes")

    @default("poll_interval")
    def _default_poll_interval(self):
        return 5

    @property
    def home(self) -> Path:
        return seat_home(Path(self.homes), self.user.name)

    async def start(self):
        private_folder(self.home)
        if seats_are_apart():
            account = _account(self.home)
            os.chown(self.home, account.pw_uid, account.pw_gid)
        self.notebook_dir = str(self.home / "course")
        # Run by its path: as a module it would import the whole package, PyTorch included, before the server starts.
        self.cmd = [sys.executable, str(Path(__file__).with_name("seat.py")), self.notebooks]
        return await super().start()

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        return (
            env
            | LEAN_KERNELS
            | {
                "USER": self.home.name,
                "HOME": str(self.home),
                "SHELL": "/bin/bash",
                "TMPDIR": str(self.home / ".tmp"),
                "PATCHCORE_EDU_CACHE": self.cache,
                "PATCHCORE_EDU_PROGRESS": str(self.home / "progress.json"),
            }
        )

    def make_preexec_fn(self, name: str):
        home, limit = str(self.home), 2 * self.mem_limit
        become = set_user_setuid(self.home.name, chdir=False) if seats_are_apart() else lambda: None

        def preexec():
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            _be_killed_first()
            become()
            os.umask(0o077)
            os.chdir(home)

        return preexec

    async def poll(self):
        status = await super().poll()
        if status is None and self.pid:
            self._keep_to_limit()
        return status

    def _keep_to_limit(self) -> None:
        try:
            held = {process: memory_of(process) for process in seat_processes(self.pid)}
        except psutil.NoSuchProcess:
            return
        children = [process for process in held if process.pid != self.pid]
        if children and sum(held.values()) > self.mem_limit:
            largest = max(children, key=held.get)
            self.log.warning(
                "%s holds %d MiB, its largest process %d: killed",
                self.user.name,
                sum(held.values()) // MIB,
                held[largest] // MIB,
            )
            largest.kill()


def _account(home: Path) -> pwd.struct_passwd:
    """The system user of a seat, created if missing."""
    try:
        account = pwd.getpwnam(home.name)
    except KeyError:
        options = ["--no-create-home", "--home-dir", str(home), "--shell", "/bin/bash", "--user-group"]
        subprocess.run([shutil.which("useradd"), *options, home.name], check=True, capture_output=True, text=True)
        account = pwd.getpwnam(home.name)
    if account.pw_uid == 0 or account.pw_dir != str(home):
        raise RuntimeError(f"there is another system user {home.name}, whose home is {account.pw_dir}")
    return account


def _be_killed_first() -> None:
    """If the whole machine runs out of memory, Linux kills a seat's process before the hub's."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:  # not Linux
        pass


def seat_processes(pid: int) -> list[psutil.Process]:
    """A seat's server and all processes that it started."""
    server = psutil.Process(pid)
    return [server, *server.children(recursive=True)]


def memory_of(process: psutil.Process) -> int:
    """A process's memory in bytes; what it shares with others counts in proportion (PSS), where the system tells."""
    try:
        memory = process.memory_full_info()
    except psutil.Error:  # it ended meanwhile
        return 0
    return getattr(memory, "pss", memory.uss)

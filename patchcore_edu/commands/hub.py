"""The hub: one server for a room of learners."""

import argparse
import os
import shutil
import socket
import ssl
import subprocess
import sys
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path

from patchcore_edu.checks import EXERCISES
from patchcore_edu.validation import real_number, whole_number
from patchcore_edu.workshop.capacity import bears, free_disk_mib
from patchcore_edu.workshop.pins import Pins
from patchcore_edu.workshop.settings import TEACHER, Settings, default_state, plain, seats_are_apart

WORKSHOP = Path(__file__).parent.parent / "workshop"

SHARED = """
from patchcore_edu.explorers.machinery.photographs import model, photographs
photographs("brick", "train"), photographs("brick", "test"), model("brick")
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the fields of `Settings`."""
    everywhere = "0.0.0.0" if seats_are_apart() else Settings.ip
    for name, kind, default, what in (
        ("seats", int, Settings.seats, "how many learners may work at once"),
        ("ip", str, everywhere, "where to listen; 0.0.0.0 is the whole network, and the default only for root"),
        ("port", int, Settings.port, "the port for browsers; the next two ports are used on the loopback"),
        ("memory-mib", int, Settings.memory_mib, "the memory that one seat may use, all its kernels together"),
        ("idle-minutes", float, Settings.idle_minutes, "a seat is stopped after this many minutes without activity"),
        ("state", Path, default_state(), "the folder of the seats' files and the hub's secrets"),
        ("notebooks", Path, Settings.notebooks, "the folder that each seat gets a copy of"),
        ("certificate", Path, None, "TLS: a certificate in PEM, with --key"),
        ("key", Path, None, "TLS: its key"),
        ("passphrase", str, "", "what learners type; by default, one is generated and kept in the state folder"),
    ):
        shown = f"{what} (default: {default})" if default else what
        parser.add_argument(f"--{name}", type=kind, default=default, help=shown)
    what = "after the workshop: delete the state folder with all seats, names and progress, and the seats' system users"
    parser.add_argument("--delete-everything", action="store_true", help=what)


def run(chosen: argparse.Namespace) -> int:
    """Serve a workshop until Ctrl-C: this process becomes its supervisor. Return 2 if that is impossible."""
    given = {field.name: getattr(chosen, field.name) for field in fields(Settings) if hasattr(chosen, field.name)}
    given["exercises"] = tuple((exercise.notebook, exercise.name) for exercise in EXERCISES)
    try:
        if chosen.delete_everything:
            return delete_everything(chosen.state)
        settings = checked(Settings(**given)).prepared()
        Pins(settings.pins)  # damaged ones would end JupyterHub, which says so in its log
    except (ValueError, OSError, RuntimeError) as error:
        print(f"hub: {error}", file=sys.stderr)
        return 2
    print("\n".join(welcome(settings)), flush=True)
    sys.stdout.flush()
    # Meanwhile, what all seats share is computed once. Nobody waits for it: a seat that starts first computes its own.
    environment = os.environ | {"PATCHCORE_EDU_CACHE": str(settings.cache)}
    subprocess.Popen([sys.executable, "-c", SHARED], env=environment, umask=0o022)  # for the seats' users to read
    # In place of this process, which holds PyTorch: the supervisor needs only the standard library.
    os.execv(sys.executable, [sys.executable, str(WORKSHOP / "supervisor.py"), str(settings.state)])


def delete_everything(state: Path) -> int:
    """Delete what a workshop left behind: its state folder, and the system users of its seats."""
    settings = Settings.read(state)  # raises for anything but a state folder, which is then left alone
    _check_ports(settings.port)
    homes = sorted(settings.homes.glob("seat-*"))
    for home in homes:
        sockets = Path(os.path.realpath(home / ".run"))
        # The link belongs to the learner: it is followed only if its target does, too.
        if sockets.parent == Path("/tmp") and sockets.exists() and sockets.stat().st_uid == home.stat().st_uid:
            shutil.rmtree(sockets, ignore_errors=True)
        if seats_are_apart():
            subprocess.run(["userdel", home.name], capture_output=True)
    shutil.rmtree(state)
    print(f"{len(homes)} seats, their names and progress, and {state} are deleted.")
    return 0


def checked(settings: Settings) -> Settings:
    """Return the settings with full paths, or raise an error that says what is wrong."""
    if find_spec("jupyterhub") is None:
        raise RuntimeError("jupyterhub is missing: run `pip install -e '.[hub]'` in the project's folder")
    whole_number("seats", settings.seats)
    whole_number("port", settings.port, at_most=2**16 - 3)
    whole_number("memory-mib", settings.memory_mib, at_least=512)  # the smallest notebook needs almost as much
    real_number("idle-minutes", settings.idle_minutes, 0, open_below=True)
    if settings.passphrase and (len(plain(settings.passphrase)) < 8 or not settings.passphrase.isprintable()):
        raise ValueError(
            "the passphrase is too short: it must have at least 8 characters, not counting hyphens and spaces"
        )
    if bool(settings.certificate) != bool(settings.key):
        raise ValueError("a certificate and its key go together; one of them is missing")
    paths = ("notebooks", "certificate", "key")
    for path in (getattr(settings, name) for name in paths if getattr(settings, name)):
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing")
    if not any(settings.notebooks.glob("*.ipynb")):
        raise FileNotFoundError(f"{settings.notebooks} has no notebooks in it")
    if settings.certificate:
        _check_certificate(settings.certificate, settings.key)
    _check_ports(settings.port, settings.ip)
    if os.geteuid() == 0 and not seats_are_apart():
        raise RuntimeError("`useradd` is missing, and seats would run as root: start the hub as an ordinary user")
    settings = replace(settings, state=settings.state.absolute(), notebooks=settings.notebooks.absolute())
    found = {path.name for path in settings.state.iterdir()} if settings.state.is_dir() else set()
    # Its permissions would change, and --delete-everything would delete files that are not the workshop's.
    if found - {"hub", "seats", "cache", "lost+found"} and not (settings.state / "hub" / "settings.json").exists():
        raise ValueError(f"{settings.state} has files in it; the state folder must be new, empty, or a workshop's")
    if free_disk_mib(settings.state) < 1:  # JupyterHub would fail halfway through its start
        raise RuntimeError(f"no space left on the disk of {settings.state}: make room")
    if seats_are_apart():
        _readable_for_seats(settings.notebooks)
    return settings


def _check_certificate(certificate: Path, key: Path) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{certificate} and {key} are not a certificate and its key, in PEM, without a password"
        ) from error


def _check_ports(first: int, ip: str = "127.0.0.1") -> None:
    for host, port in ((ip, first), ("127.0.0.1", first + 1), ("127.0.0.1", first + 2)):
        try:
            family, kind, *_, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM,
                                                           flags=socket.AI_PASSIVE)[0]  # fmt: skip
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except (OSError, UnicodeError) as error:
            raise RuntimeError(
                f"port {port} of {host} cannot be used: {getattr(error, 'strerror', error)}; "
                "end the workshop that runs there, or choose another --port or --ip"
            ) from None


def _readable_for_seats(notebooks: Path) -> None:
    """Raise unless an unprivileged system user can reach Python, the packages and the notebooks."""
    code = "import sys, os, jupyterhub; from importlib.util import find_spec; "
    code += "sys.exit(find_spec('patchcore_edu') is None or not os.access(sys.argv[1], os.R_OK | os.X_OK))"
    try:
        tried = subprocess.run([sys.executable, "-c", code, str(notebooks)], user="nobody", cwd="/",
                               capture_output=True)  # fmt: skip
        readable = tried.returncode == 0
    except PermissionError:
        readable = False
    if not readable:
        raise RuntimeError(
            f"the seats' system users cannot read {sys.prefix} or {notebooks}: install Python and the project where "
            "everybody can read them, for example in /opt, not in root's home"
        )


def welcome(settings: Settings) -> list[str]:
    """What the teacher reads: addresses, passphrases, and how well seats are isolated."""
    open_to_all = settings.ip in ("", "0.0.0.0", "::")
    addresses = _addresses() if open_to_all else [settings.ip]
    lines = ["The workshop is at", *(f"    {settings.scheme}://{address}:{settings.port}" for address in addresses)]
    lines += [f"passphrase            {settings.passphrase}"]
    lines += [f"teacher               name {TEACHER}, passphrase {settings.teacher_passphrase}"]
    lines += [f"seats                 {settings.seats} at once, each up to {settings.memory_mib:,} MiB; stopped after "
              f"{settings.idle_minutes:g} idle minutes"]  # fmt: skip
    try:
        lines += [f"this machine can hold {bears(settings.seats, settings.state)}"]
    except RuntimeError as error:
        lines += [f"TOO SMALL             {error}"]
    lines += [f"files, log            {settings.state}"]
    if not seats_are_apart():
        lines += ["Seats are NOT isolated: all run as you, and anyone with a terminal can read every seat's files and "
                  "the teacher's passphrase. Start as root to give each a system user of its own."]  # fmt: skip
    if not settings.certificate and settings.ip not in ("127.0.0.1", "::1", "localhost"):
        lines += ["Without --certificate, anyone listening on the room's network can read passphrases and work."]
    return [*lines, "Ctrl-C ends it."]


def _addresses() -> list[str]:
    import psutil

    found = [address.address for card in psutil.net_if_addrs().values() for address in card
             if address.family == socket.AF_INET and not address.address.startswith("127.")]  # fmt: skip
    return found or [socket.gethostname()]

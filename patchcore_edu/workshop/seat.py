"""Starts one learner's server, as the learner's own system user: `python seat.py NOTEBOOKS [options of the server]`.

It loads neither PyTorch nor JupyterHub. It matters that the notebooks are copied here, and not by the hub: a hub
running as root must not write where a learner may have planted a link.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

# Importing the whole package would load PyTorch before each server starts.
sys.modules["patchcore_edu"] = package = ModuleType("patchcore_edu")
package.__path__ = [str(Path(__file__).parent.parent)]

from patchcore_edu.files import replacing  # noqa: E402

OPTIONS = {
    # Sockets in a folder that only this user can enter: over TCP, every user of the machine can read kernel output.
    "KernelManager.transport": "ipc",
    "MappingKernelManager.cull_idle_timeout": 1800,
    "MappingKernelManager.cull_interval": 120,
    "ServerApp.default_url": "/lab/tree/00_tour.ipynb",
    "ContentsManager.allow_hidden": False,
    # Which outputs are the learner's own is remembered until the server ends. A file would be written whenever a
    # notebook is opened, which fails on a full disk.
    "NotebookNotary.db_file": ":memory:",
}
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}
NEWS = "lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"


def copy_missing(source: Path, target: Path) -> None:
    """Copy what is not there yet; what the learner has changed stays. No file is ever half written."""
    for file in sorted(source.rglob("*")):
        copy = target / file.relative_to(source)
        if any(part.startswith((".", "__")) for part in file.relative_to(source).parts) or copy.exists():
            continue
        if file.is_dir():
            copy.mkdir(parents=True)
        else:
            with replacing(copy) as unfinished:
                unfinished.write(file.read_bytes())


def short_folder(link: Path) -> str:
    """A new folder for sockets, whose paths may have at most 107 characters; the one from the last start is removed."""
    if link.is_symlink():
        shutil.rmtree(link.readlink(), ignore_errors=True)
        link.unlink()
    folder = tempfile.mkdtemp(prefix="seat", dir="/tmp")
    link.symlink_to(folder)
    return folder


def main(notebooks: str, *given: str) -> None:
    home = Path(os.environ["HOME"])
    course, news = home / "course", home / ".jupyter" / NEWS
    for folder in (course, news.parent, Path(os.environ["TMPDIR"])):
        folder.mkdir(parents=True, exist_ok=True)
    copy_missing(Path(notebooks), course)
    if not news.exists():
        with replacing(news) as file:
            file.write(json.dumps(NO_NEWS).encode())
    os.environ["JUPYTER_RUNTIME_DIR"] = runtime = short_folder(home / ".run")
    secret = Path(runtime, "notebook_secret")
    secret.write_bytes(os.urandom(64))  # now, and not when the first notebook is opened
    options = OPTIONS | {"NotebookNotary.secret_file": secret}
    ours = [f"--{name}={value}" for name, value in options.items()]
    os.execv(sys.executable, [sys.executable, "-m", "jupyterhub.singleuser", *ours, *given])


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Watches JupyterHub, and restarts it if it ends unexpectedly: `python supervisor.py STATE`."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SERVER, CONFIG = (Path(__file__).with_name(name) for name in ("server.py", "jupyterhub_config.py"))
WENT_WELL = 20  # seconds: a hub that ended sooner could not start, and would fail again


def main(state: str) -> int:
    """Serve until Ctrl-C or SIGTERM; return 0, or JupyterHub's code if it could not start."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    folder, command = Path(state) / "hub", [sys.executable, str(SERVER), "-f", str(CONFIG)]
    environment = os.environ | {"PATCHCORE_EDU_WORKSHOP": state}
    while True:
        started = time.monotonic()
        with (folder / "hub.log").open("ab") as log:
            hub = subprocess.Popen(command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, start_new_session=True)  # fmt: skip
        try:
            code = hub.wait()
        except KeyboardInterrupt:
            print("The seats are being stopped; saved work is kept.", flush=True)
            hub.terminate()
            hub.wait()
            return 0
        if time.monotonic() - started < WENT_WELL:
            print(f"JupyterHub did not start. The last lines of {folder / 'hub.log'}:", file=sys.stderr)
            print(*(folder / "hub.log").read_text("utf-8", "replace").splitlines()[-15:], sep="\n", file=sys.stderr)
            return code or 1
        print(f"JupyterHub ended with code {code}; it is being restarted, and takes over its seats.", flush=True)


def _interrupt(*_) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

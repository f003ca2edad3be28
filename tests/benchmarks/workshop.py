"""Load test: start a hub with this many seats, and let simulated learners use all of them.

python tests/benchmarks/workshop.py 30
"""

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from patchcore_edu.workshop.rehearsal import Pace, rehearse
from patchcore_edu.workshop.settings import Settings

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("seats", type=int)
parser.add_argument("--port", type=int, default=8600)
parser.add_argument("--notebooks", nargs="+", default=["00_tour.ipynb", "03_aggregation.ipynb"])
for pace, seconds in vars(Pace()).items():
    parser.add_argument(f"--{pace}", type=int if pace == "slides" else float, default=seconds)
chosen = parser.parse_args()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the cleanup below runs

with tempfile.TemporaryDirectory(prefix="rehearsal", dir="/tmp") as folder:
    Path(folder).chmod(0o755)
    state = Path(folder) / "state"
    options = ["--ip", "127.0.0.1", "--port", str(chosen.port), "--seats", str(chosen.seats), "--state", str(state)]
    hub = subprocess.Popen([sys.executable, "-m", "patchcore_edu", "hub", *options], stdout=subprocess.DEVNULL)
    try:
        log = state / "hub" / "hub.log"
        # As in a real workshop: the hub has run for a while, and what all seats share is computed.
        while not (
            log.exists()
            and "JupyterHub is now running" in log.read_text()
            and list((state / "cache").glob("*/brick-model"))
        ):
            if hub.poll() is not None:
                raise SystemExit("the hub did not start")
            time.sleep(1)
        pace = Pace(**{name: getattr(chosen, name) for name in vars(Pace())})
        address, passphrase = f"http://127.0.0.1:{chosen.port}", Settings.read(state).passphrase
        print(asyncio.run(rehearse(address, passphrase, chosen.seats, tuple(chosen.notebooks), pace)))
    finally:
        hub.terminate()
        hub.wait()
        subprocess.run([sys.executable, "-m", "patchcore_edu", "hub", "--delete-everything", "--state", str(state)])
        state.mkdir(exist_ok=True)

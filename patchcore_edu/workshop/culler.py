"""Stops idle seats: jupyterhub-idle-culler, which here ends with its hub, even if the hub is killed."""

import os
import threading
import time

from jupyterhub_idle_culler import main

EVERY = 2  # seconds


def end_with(hub: int) -> None:
    """Wait until the hub is no longer this process's parent, and end; a new hub starts a culler of its own."""
    while os.getppid() == hub:
        time.sleep(EVERY)
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    main()

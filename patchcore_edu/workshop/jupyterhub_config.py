"""JupyterHub's configuration, for the workshop whose state folder PATCHCORE_EDU_WORKSHOP names."""

import os
import sys
from pathlib import Path
from types import ModuleType

# The hub needs none of the equations. Importing the whole package would load PyTorch: seconds, and 280 MiB all day.
for name in ("patchcore_edu", "patchcore_edu.checks"):
    sys.modules[name] = package = ModuleType(name)
    package.__path__ = [str(Path(__file__).parents[2].joinpath(*name.split(".")))]

from patchcore_edu.workshop.login import SeatLogin  # noqa: E402
from patchcore_edu.workshop.page import ProgressPage  # noqa: E402
from patchcore_edu.workshop.settings import Settings  # noqa: E402
from patchcore_edu.workshop.spawner import MIB, Seat  # noqa: E402

here, settings = Path(__file__).parent, Settings.read(os.environ["PATCHCORE_EDU_WORKSHOP"])
c = get_config()  # noqa: F821, JupyterHub defines it

# Everything is in one folder: after a crash, the hub finds it all again.
c.JupyterHub.db_url = f"sqlite:///{settings.hub / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(settings.hub / "cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(settings.hub / "proxy.pid")

# Only the proxy can be reached from outside; the hub and the proxy's own API stay on the loopback.
c.JupyterHub.bind_url = f"{settings.scheme}://{settings.ip}:{settings.port}"
c.JupyterHub.hub_ip, c.JupyterHub.hub_port = "127.0.0.1", settings.port + 1
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings.port + 2}"
c.ConfigurableHTTPProxy.command = [sys.executable, str(here / "proxy.py")]
if settings.certificate:
    c.JupyterHub.ssl_cert, c.JupyterHub.ssl_key = str(settings.certificate), str(settings.key)

c.JupyterHub.authenticator_class = SeatLogin
c.Authenticator.allow_all = True  # everyone who knows the passphrase
c.SeatLogin.passphrase, c.SeatLogin.teacher_passphrase = settings.passphrase, settings.teacher_passphrase
c.SeatLogin.pin_file = str(settings.pins)
c.JupyterHub.extra_handlers = [("/progress", ProgressPage, {"settings": settings})]
c.JupyterHub.template_paths = [str(here / "templates")]

c.JupyterHub.spawner_class = Seat
c.Seat.homes, c.Seat.notebooks = str(settings.homes), str(settings.notebooks)
c.Seat.cache = str(settings.cache)
c.Spawner.mem_limit = settings.memory_mib * MIB
c.Spawner.start_timeout = c.Spawner.http_timeout = 180  # thirty seats that start at once wait for one another
c.LocalProcessSpawner.interrupt_timeout = 5
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.active_server_limit = settings.seats + 1  # the teacher's server is not a seat

c.JupyterHub.services = [
    {
        "name": "idle-culler",
        "command": [sys.executable, str(here / "culler.py"), f"--timeout={settings.idle_minutes * 60:.0f}"],
    }
]
scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
c.JupyterHub.load_roles = [{"name": "idle-culler", "scopes": scopes, "services": ["idle-culler"]}]

"""Kernels that begin as copies of a process in which the libraries are loaded, which takes longer than most notebooks.

The package itself is not loaded there, and a kernel's names are its own: it differs from one that was started by itself
only in how long `import torch` takes.
"""

import gc
import os
import signal
import sys
from multiprocessing import forkserver, get_context

from jupyter_client import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

LIBRARIES = [
    "ipykernel.kernelapp",
    "ipywidgets",
    "anywidget",
    "matplotlib.pyplot",
    "scipy.ndimage",
    "skimage.data",
    "sklearn.decomposition",
    "torch",
    "torchvision",
]
fork = get_context("forkserver")


def become_kernel(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    gc.freeze()  # what the libraries hold is no garbage
    # A kernel ends when its parent does, which is not the process that asked for it.
    os.environ.clear()
    os.environ.update(environment, JPY_PARENT_PID=str(os.getppid()))
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from ipykernel.kernelapp import launch_new_instance

    sys.argv = arguments
    launch_new_instance()


class ForkedKernel(fork.Process):
    """What a provisioner asks of a process."""

    stdin = stdout = stderr = None

    def poll(self) -> int | None:
        return self.exitcode

    def wait(self) -> int:
        self.join()
        return self.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


class ForkedProvisioner(LocalProvisioner):
    async def launch_kernel(self, cmd: list[str], **kwargs) -> dict:
        # What a kernel sets before it loads matplotlib, for pictures that stand below their cells.
        environment = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"} | kwargs["env"]
        before = dict(os.environ)
        os.environ.update(environment)  # with which the process that is copied begins
        try:
            forkserver.set_forkserver_preload(LIBRARIES)
            forkserver.ensure_running()
        finally:
            os.environ.clear()
            os.environ.update(before)
        self.process = ForkedKernel(target=become_kernel, args=(cmd[2:], environment, kwargs["cwd"]), daemon=True)
        self.process.start()
        self.pid, self.pgid = self.process.pid, None
        return self.connection_info


class ForkingKernelManager(AsyncKernelManager):
    """The copies are made where they are asked for: the first use in a process loads the libraries."""

    def __init__(self, **traits):
        super().__init__(**traits)
        self.provisioner = ForkedProvisioner(kernel_spec=self.kernel_spec, parent=self)

"""Kernels forked from a process that has the libraries loaded, as loading them takes longer than most notebooks.

The package itself is not loaded in that process, and each kernel has its own namespace. A forked kernel differs from
one that was started on its own only in how long `import torch` takes.
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
    gc.freeze()  # what the libraries hold is not garbage
    # A kernel ends when its parent does. That is the fork server, not the process that requested the kernel.
    os.environ.clear()
    os.environ.update(environment, JPY_PARENT_PID=str(os.getppid()))
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from ipykernel.kernelapp import launch_new_instance

    sys.argv = arguments
    launch_new_instance()


class ForkedKernel(fork.Process):
    """What a provisioner requires of a process."""

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
        # A kernel sets this before it loads matplotlib, so that figures appear below their cells.
        environment = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"} | kwargs["env"]
        before = dict(os.environ)
        os.environ.update(environment)  # the fork server starts with these
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
    """Starts forked kernels. The first one in each process also starts the fork server, which loads the libraries."""

    def __init__(self, **traits):
        super().__init__(**traits)
        self.provisioner = ForkedProvisioner(kernel_spec=self.kernel_spec, parent=self)

"""Run code cells as a reader does: from a fresh kernel, without a network."""

import sys
from pathlib import Path

import nbformat
from forked_kernels import ForkingKernelManager
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode
from settings import REQUIRE_ALL

FORKS = sys.platform == "linux" and not REQUIRE_ALL

# An audit hook sees every connection that Python opens, and cannot be removed. This one allows the loopback.
# A progress bar appears only in a long run. As a widget it would count as output; as text on stderr it does not.
SETUP = """
import sys, tqdm.auto
tqdm.auto.tqdm = tqdm.tqdm
def no_network(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple) and args[1][0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"a notebook must run without a network, but this one asked for {args[1][0]}")
    if event == "socket.getaddrinfo" and args[0] not in (None, "127.0.0.1", "::1", "localhost"):
        raise OSError(f"a notebook must run without a network, but this one asked for {args[0]}")
sys.addaudithook(no_network)
"""


def run(notebook: NotebookNode, folder: Path, times: int = 1) -> list[NotebookNode]:
    """Run the code cells of a notebook, each `times` times in a row, in one fresh kernel without a network.

    Returns the cells with their outputs.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    cells = [nbformat.v4.new_code_cell(cell.source, metadata=cell.metadata) for cell in code for _ in range(times)]
    client = NotebookClient(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SETUP), *cells]),
        timeout=600,  # seconds per cell, on a busy machine
        kernel_name="python3",
        kernel_manager_class=ForkingKernelManager if FORKS else AsyncKernelManager,
        resources={"metadata": {"path": folder}},
    )
    client.execute()
    return cells


def printed(cells: list[NotebookNode]) -> str:
    return "".join(output.text for cell in cells for output in cell.outputs if output.get("name") == "stdout")

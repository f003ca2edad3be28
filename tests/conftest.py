"""Settings and fixtures that every test shares."""

import os

# One thread per process: the tests, the kernels they start and the browser share the cores, and PyTorch's threads
# wait for one another whenever one of them has no core. This must be set before PyTorch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The workers, and the kernels they start, keep the memory of large tensors. By default, glibc returns it to the system
# at once and then requests it again, which takes up to a tenth of their time.
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**30))
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**25))

import ctypes
import fcntl
import gc
import shutil
import sys
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings
from settings import REQUIRE_ALL

# One cache for the suite, its kernels and its workers, apart from the user's: what a test changes is not kept there.
if "PYTEST_XDIST_WORKER" not in os.environ:
    CACHE = tempfile.TemporaryDirectory(prefix="patchcore_edu-")
    os.environ["PATCHCORE_EDU_CACHE"] = CACHE.name

# Derandomised: the same examples in every run, so that a failure can be reproduced.
settings.register_profile("suite", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("suite")

# jsonschema loads this to check international addresses. No test needs it, and it takes seconds in each worker.
sys.modules["rfc3987_syntax"] = None


def pytest_collection():
    gc.disable()


def pytest_collection_modifyitems(items):
    """Slow tests first: of two workers, one starts with the browser; the other, in mid-list, with the notebooks.

    The quick tests follow. Whichever worker finishes first takes over some of the other's, so both end together.
    """
    browser, notebooks = (
        [item for item in items if item.nodeid.startswith(files)]
        for files in ("tests/browser/", ("tests/test_claims", "tests/test_notebook"))
    )
    slow = {*browser, *notebooks}
    quick = [item for item in items if item not in slow]
    half = len(items) // 2 - len(browser)
    items[:] = [*browser, *quick[:half], *notebooks, *quick[half:]]


def pytest_collection_finish():
    """Exempt from garbage collection what is loaded by now: it stays, and scanning it takes a twentieth of the time."""
    gc.freeze()
    gc.set_threshold(20_000)
    gc.enable()


@pytest.fixture(scope="session")
def require():
    """`require(found, what)`: if `what` is missing, skip the test, or fail it when everything is required."""

    def require(found: object, what: str) -> None:
        if not found:
            (pytest.fail if REQUIRE_ALL else pytest.skip)(f"{what} not found")

    return require


@pytest.fixture(scope="session")
def backbone():
    """The bundled network with its trained weights."""
    # Imported here: the process that distributes the tests needs neither the package nor PyTorch.
    from patchcore_edu import load_backbone

    return load_backbone("efficientnet_lite0")


@pytest.fixture
def at_most(require):
    """`with at_most(mib):` within the block, the process can allocate at most `mib` MiB more; beyond that it fails.

    Resident memory would be no measure: the system drops pages of libraries and reloads them when they are needed.
    """
    require(sys.platform == "linux", "/proc/self/status (Linux)")
    import resource

    @contextmanager
    def at_most(mib: int):
        libc, mmap_threshold = ctypes.CDLL(None), -3
        libc.mallopt(mmap_threshold, 2**17)  # or it could reuse memory that it kept from before
        libc.malloc_trim(0)
        data = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
        before, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (data + mib * 2**20, most))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (before, most))
            libc.mallopt(mmap_threshold, int(os.environ["MALLOC_MMAP_THRESHOLD_"]))

    return at_most


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """`with shared(name) as path:` gives a path that all workers of the session share; one at a time may use it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    @contextmanager
    def shared(name):
        with open(folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder / name

    return shared


@pytest.fixture(scope="session")
def playground(require, shared):
    """The folder of the playground, built once, as it is published beside the course's pages."""
    from patchcore_edu.playground import build

    require(shutil.which("npm"), "Node.js with npm")
    require(find_spec("onnx") and find_spec("onnxscript"), "the extra `site`")
    with shared("site") as out:
        if not (out / "playground.html").exists():
            build(out, course=True)
    return out


@pytest.fixture(scope="session")
def executed(shared):
    """`executed(name)`: the code cells of a notebook with their outputs.

    The notebook runs once per session. When everything is required, each cell runs twice in a row.
    """
    import nbformat
    from notebook_runs import run

    def executed(name):
        stored = Path(__file__).parent.parent / "notebooks" / f"{name}.ipynb"
        with shared(stored.name) as file:
            if not file.exists():
                cells = run(nbformat.read(stored, 4), stored.parent, times=2 if REQUIRE_ALL else 1)
                nbformat.write(nbformat.v4.new_notebook(cells=cells), file)
        return nbformat.read(file, 4).cells

    return executed

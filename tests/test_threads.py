"""Dividing work among threads: `threads.py` and the functions that use it."""

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from threading import Thread
from time import sleep

import pytest
import torch

from patchcore_edu import greedy_coreset, nearest_neighbours
from patchcore_edu.threads import _short_spins, in_parts, one_thread, shares, without_barriers


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def seen_by_a_new_thread():
    seen = []
    thread = Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return seen[0]


def test_each_part_runs_on_one_thread_and_the_results_keep_their_order(three_threads):
    assert in_parts(lambda part: (part, torch.get_num_threads()), range(20)) == [(i, 1) for i in range(20)]


def test_without_a_second_thread_or_part_no_thread_is_started(three_threads):
    with one_thread():
        assert in_parts(lambda _: threading.get_ident(), [1, 2]) == [threading.get_ident()] * 2
        assert shares(10**6) == [slice(0, 10**6)]
    assert in_parts(lambda _: threading.get_ident(), [0]) == [threading.get_ident()]


@pytest.mark.parametrize("rows, at_least, n", [(100, 1, 6), (100, 40, 4), (100, 60, 1), (5, 1, 5), (0, 1, 0)])
def test_shares_are_even_and_cover_all_rows(three_threads, rows, at_least, n):
    found = shares(rows, at_least)
    assert len(found) == n
    assert [i for part in found for i in range(rows)[part]] == list(range(rows))


def test_parts_within_work_without_barriers_may_use_the_threads_that_torch_had(three_threads):
    with without_barriers() as outer, without_barriers() as inner:
        assert (outer, inner, torch.get_num_threads()) == (3, 3, 1)
        both = threading.Barrier(2, timeout=60)
        in_parts(lambda _: both.wait(), [1, 2])  # a single thread would wait forever
    assert torch.get_num_threads() == 3


def test_parts_of_a_part_stay_on_its_thread(three_threads):
    def part(_):
        return set(in_parts(lambda _: threading.get_ident(), range(4))) == {threading.get_ident()}

    assert all(in_parts(part, range(6)))


def test_an_error_is_raised_and_ends_the_work(three_threads):
    done = []

    def work(part):
        done.append(part)
        sleep(0.001)
        if part == 2:
            raise ValueError("part 2")

    with pytest.raises(ValueError, match="part 2"):
        in_parts(work, range(2000))
    assert len(done) < 2000
    assert torch.get_num_threads() == seen_by_a_new_thread() == 3


@pytest.mark.parametrize(
    "work",
    [
        lambda v: nearest_neighbours(v, v[:50]),
        lambda v: greedy_coreset(v, size=9),
        lambda v: in_parts(torch.sum, v.split(4)),
    ],
)
def test_later_threads_are_not_limited_to_one(three_threads, work):
    work(torch.randn(9000, 4, generator=torch.Generator().manual_seed(0)))
    assert torch.get_num_threads() == seen_by_a_new_thread() == 3


@pytest.mark.parametrize("n", [2, 5, 9])
def test_the_network_gives_the_same_maps_on_any_number_of_threads(three_threads, backbone, n):
    images = torch.rand(n, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    shared = backbone(images)
    with one_thread():
        assert all(torch.equal(shared[j], phi_j) for j, phi_j in backbone(images).items())
    assert seen_by_a_new_thread() == 3


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_parts_have_the_grad_mode_of_their_caller(three_threads, mode):
    with mode():
        here = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        seen = in_parts(lambda _: (torch.is_grad_enabled(), torch.is_inference_mode_enabled()), range(50))
        vectors = torch.randn(30_000, 4, generator=torch.Generator().manual_seed(0))
        nearest_neighbours(vectors, vectors[:500])
        assert len(greedy_coreset(vectors, size=300)) == 300
    assert set(seen) == {here}


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere PyTorch's threads come from another library")


@pytest.fixture(scope="module")
def libgomp():
    """A file of the library: PyTorch's, or that of another package that this process has loaded."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return next(line.split()[-1] for line in lines if "libgomp" in line)


@pytest.fixture
def settings_shown(monkeypatch):
    """The library prints its settings when it is loaded, and none of those that count here is set."""
    monkeypatch.setenv("OMP_DISPLAY_ENV", "VERBOSE")
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)


@linux_only
@pytest.mark.usefixtures("settings_shown")
@pytest.mark.parametrize("own, spins", [("", 1000), ("GOMP_SPINCOUNT=7", 7), ("OMP_WAIT_POLICY=PASSIVE", 0)])
def test_threads_spin_briefly_unless_the_user_says_otherwise(libgomp, monkeypatch, capfd, tmp_path, own, spins):
    if own:
        monkeypatch.setenv(*own.split("="))
    before = dict(os.environ)
    with _short_spins():
        ctypes.CDLL(shutil.copy(libgomp, tmp_path))  # a copy is loaded anew, and says what it has read
    assert f"GOMP_SPINCOUNT = '{spins}'" in capfd.readouterr().err and dict(os.environ) == before


@linux_only
@pytest.mark.usefixtures("settings_shown")
def test_torch_loaded_by_the_package_spins_briefly():
    code = "import os; before = dict(os.environ); import patchcore_edu; assert dict(os.environ) == before"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr
    assert "GOMP_SPINCOUNT = '1000'" in loaded.stderr

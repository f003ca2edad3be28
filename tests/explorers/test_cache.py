"""The cache returns what was computed: with damaged files, with many processes at once, and where it cannot write."""

import ctypes
import os
import shutil
import subprocess
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

from patchcore_edu import PatchCore, feature_maps
from patchcore_edu.datasets import PhotoTextures
from patchcore_edu.explorers.machinery import cache, photographs
from patchcore_edu.memory_bank import ARRAYS as BANK

FORK = get_context("fork")
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000  # from sched.h
ARRAYS = {"x": np.arange(12.0, dtype=np.float32).reshape(3, 4), "names": np.array(["a", "scratch"]), "n": np.array(7)}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A separate cache for each test."""
    monkeypatch.setenv("PATCHCORE_EDU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def never():
    raise AssertionError("it is there and must not be computed")


def same(arrays) -> bool:
    return arrays.keys() == ARRAYS.keys() and all(
        np.array_equal(arrays[name], array) and arrays[name].dtype == array.dtype for name, array in ARRAYS.items()
    )


def test_the_second_time_the_files_are_mapped(folder):
    assert same(cache.kept("a", lambda: ARRAYS))
    again = cache.kept("a", never)
    assert same(again)
    assert all(isinstance(array, np.memmap) for array in again.values())
    assert not list(folder.rglob("*unfinished*"))
    assert all(path.stat().st_mode & 0o055 == 0o055 for path in folder.rglob("a") if path.is_dir())


def test_writing_to_an_array_leaves_the_file_alone():
    cache.kept("a", lambda: ARRAYS)
    cache.kept("a", never)["x"][:] = -1
    assert same(cache.kept("a", never))


def truncate(place: Path) -> None:
    os.truncate(place / "x.npy", 100)


def empty(place: Path) -> None:
    (place / "x.npy").write_bytes(b"")


def change_one_bit(place: Path) -> None:
    content = bytearray((place / "x.npy").read_bytes())
    content[-1] ^= 1
    (place / "x.npy").write_bytes(content)


def lose(place: Path) -> None:
    (place / "n.npy").unlink()


def add(place: Path) -> None:
    np.save(place / "more.npy", np.zeros(3))


def exchange(place: Path) -> None:
    (place / "n.npy").rename(place / "t.npy")
    (place / "x.npy").rename(place / "n.npy")
    (place / "t.npy").rename(place / "x.npy")


def lose_digest(place: Path) -> None:
    (place / cache.DIGEST).unlink()


def spoil_digest(place: Path) -> None:
    (place / cache.DIGEST).write_bytes(b"\xff\x00")


def be_a_file(place: Path) -> None:
    shutil.rmtree(place)
    place.write_text("no folder")


DAMAGES = [truncate, empty, change_one_bit, lose, add, exchange, lose_digest, spoil_digest]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_files_are_computed_and_kept_again(damage, folder):
    cache.kept("a", lambda: ARRAYS)
    [place] = folder.glob("*/a")
    damage(place)
    computed = []
    assert same(cache.kept("a", lambda: computed.append(1) or ARRAYS))
    assert computed
    assert same(cache.kept("a", never))


def test_a_file_in_the_place_of_the_folder_only_costs_time(folder):
    cache.kept("a", lambda: ARRAYS)
    [place] = folder.glob("*/a")
    be_a_file(place)
    assert same(cache.kept("a", lambda: ARRAYS))


def test_an_error_of_the_computation_reaches_the_caller():
    with pytest.raises(FileNotFoundError, match="no weights"):
        cache.kept("a", lambda: (_ for _ in ()).throw(FileNotFoundError("no weights")))
    assert same(cache.kept("a", lambda: ARRAYS))


def test_each_version_has_its_own_arrays(folder, monkeypatch):
    def version_with(library=None):
        cache._version.cache_clear()
        with monkeypatch.context() as patch:
            if library:
                patch.setattr(cache, "version", lambda name: "0" if name == library else "1")
            return cache._version()

    try:
        names = [version_with(library) for library in (None, *cache.LIBRARIES)]
        code = folder.parent / "code.py"
        monkeypatch.setattr(cache, "_code", lambda: [code])
        for source in ("SIZE = 224", "SIZE = 256"):
            code.write_text(source)
            names.append(version_with())
        assert len(set(names)) == len(names)
    finally:
        cache._version.cache_clear()


def test_old_versions_are_dropped_and_nothing_else(folder, monkeypatch):
    (folder / "holiday").mkdir(parents=True)
    for i in range(5):
        monkeypatch.setattr(cache, "_version", lambda i=i: f"arrays-{i}")
        cache.kept("a", lambda: ARRAYS)
        os.utime(folder / f"arrays-{i}", (i, i))
    assert sorted(path.name for path in folder.iterdir()) == ["arrays-2", "arrays-3", "arrays-4", "holiday"]


class Asking(FORK.Process):
    """A process that requests "a". It notes in a file if it computes, and reports whether "a" is mapped and right.

    It is forked from this one, so that it need not load all libraries. `mount`, lines of a shell, mounts disks that
    only this process sees.
    """

    def __init__(self, log: Path, seconds: float, mount: str = ""):
        super().__init__()
        self.log, self.seconds, self.mount = log, seconds, mount
        self.said, self.says = FORK.Pipe(duplex=False)
        self.start()
        self.says.close()  # so that the end of the process is noticed here

    def run(self) -> None:
        if self.mount:
            own_mounts()
            subprocess.run(["bash", "-ec", self.mount], check=True)
        x = cache.kept("a", self.compute)["x"]
        self.says.send((isinstance(x, np.memmap), x.sum() == np.arange(2e6).sum()))

    def compute(self) -> dict[str, np.ndarray]:
        with self.log.open("a") as file:
            file.write("computed\n")
        time.sleep(self.seconds)
        return {"x": np.arange(2e6)}

    def told(self) -> tuple[bool, bool]:
        assert self.said.poll(120)
        mapped_and_right = self.said.recv()
        self.join()
        assert self.exitcode == 0
        return mapped_and_right


def own_mounts() -> None:
    """Like `unshare --mount --map-root-user`: what this process mounts from now on disappears when it ends."""
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS | CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in {"setgroups": "deny", "uid_map": f"0 {user} 1", "gid_map": f"0 {group} 1"}.items():
        Path("/proc/self", name).write_text(text)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def test_of_several_processes_one_computes_and_the_others_wait(tmp_path):
    asking = [Asking(tmp_path / "log", 2) for _ in range(3)]
    assert [process.told() for process in asking] == [(True, True)] * 3
    assert (tmp_path / "log").read_text() == "computed\n"


def test_a_process_killed_while_computing_does_not_block_others(tmp_path, folder):
    killed = Asking(tmp_path / "log", 60)
    deadline = time.monotonic() + 60
    while not (tmp_path / "log").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    killed.kill()
    killed.join()
    [version] = folder.iterdir()
    (version / "a.unfinished-123").mkdir()  # what it would have left if killed a moment later
    assert Asking(tmp_path / "log", 0).told() == (True, True)
    assert not list(folder.rglob("*unfinished*"))


@pytest.mark.parametrize(
    ("options", "message"), [("size=1m", "No space left"), ("size=1m,ro", "Read-only")], ids=["full", "read-only"]
)
def test_a_full_or_read_only_disk_only_costs_time(options, message, tmp_path, folder, require):
    require(shutil.which("unshare"), "unshare (util-linux)")
    folder.mkdir()
    # 16 MB do not fit on this disk, which disappears when the process ends.
    mount = f"mount -t tmpfs -o {options} none {folder}"
    filled = f"{mount} && dd if=/dev/zero of={folder}/x bs=1M count=16"
    probe = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "bash", "-c", filled], capture_output=True, text=True
    )
    require(message in probe.stderr, f"a way to mount a small disk ({probe.stderr.strip()})")
    assert Asking(tmp_path / "log", 0, mount).told() == (False, True)


def test_files_on_a_read_only_disk_are_mapped(tmp_path, folder, require):
    require(shutil.which("unshare"), "unshare (util-linux)")
    assert Asking(tmp_path / "log", 0).told() == (True, True)
    mount = f"mount --bind {folder} {folder}\nmount -o remount,bind,ro {folder}\nif touch {folder}/x; then exit 1; fi"
    assert Asking(tmp_path / "log", 0, mount).told() == (True, True)
    assert (tmp_path / "log").read_text() == "computed\n"


def test_a_folder_that_cannot_be_made_only_costs_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PATCHCORE_EDU_CACHE", str(tmp_path / "file" / "cache"))
    assert same(cache.kept("a", lambda: ARRAYS))


def test_photographs_and_model_are_those_that_the_package_computes(backbone):
    for _ in range(2):  # computed, then mapped
        photographs.photographs.cache_clear()
        photographs.model.cache_clear()
        test = photographs.photographs("brick", "test")
        dataset = PhotoTextures("brick", "test")
        images = torch.stack([sample.image for sample in dataset])
        assert torch.equal(test.images, images)
        for mine, sample in zip(test.dataset, dataset, strict=True):
            assert torch.equal(mine.image, sample.image) and torch.equal(mine.mask, sample.mask)
            assert (mine.anomalous, mine.defect, mine.source) == (sample.anomalous, sample.defect, sample.source)
        for j, phi_j in feature_maps(images[:8], backbone, photographs.LEVELS).items():
            assert torch.allclose(test.phi[j][:8], phi_j, atol=1e-5)
            assert test.phi[j].is_contiguous(memory_format=torch.channels_last)  # the network's memory layout
    fitted, prediction = photographs.model("brick")
    train = photographs.photographs("brick", "train")
    expected = PatchCore(backbone)
    expected.fit_patches(expected.patches_of(train.phi))
    assert fitted.rows_before == expected.rows_before
    assert all(torch.equal(getattr(fitted.bank, name), getattr(expected.bank, name)) for name in BANK)
    assert fitted.bank.settings == expected.bank.settings
    judged = expected.predict_patches(expected.patches_of(test.phi), 224)
    assert all(torch.equal(a, b) for a, b in zip(vars(prediction).values(), vars(judged).values(), strict=True))

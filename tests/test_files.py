"""Writing files: on a full disk, after Ctrl-C, or when something is in the way, the old file stays."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing import get_context

import pytest
import torch

from patchcore_edu import MemoryBank, files, memory_bank
from patchcore_edu.files import folder_to_write, ordinary, replacing, writable

FORK = get_context("fork")


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old"
    path.write_bytes(b"old")
    yield path
    assert path.read_bytes() == b"old" and sorted(tmp_path.glob("*.tmp")) == sorted(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_interrupted_writing_leaves_the_old_file(old, error):
    with pytest.raises(type(error)), replacing(old) as file:
        file.write(b"new")
        raise error


def saving(path):
    """Start a process that writes banks of 32 MB to `path` over and over."""
    bank = memory_bank(torch.zeros(1, 1000, 1000, 8))

    def save(ready):
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a command in the background would ignore it
        ready.set()
        while True:
            bank.save(path)

    ready = FORK.Event()
    process = FORK.Process(target=save, args=(ready,))
    process.start()
    ready.wait()
    return process


def test_a_full_disk_leaves_the_old_bank(old, capfd):
    """Not simulated: the system refuses to let a file grow beyond a megabyte."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        saving(old).join()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"OSError: [Errno 27] {old} could not be written: File too large" in capfd.readouterr().err


def test_a_small_disk_that_is_full_leaves_the_old_file(tmp_path, require):
    require(shutil.which("unshare"), "unshare (util-linux)")
    old = tmp_path / "old"
    code = f"""import os, runpy
replacing = runpy.run_path({files.__file__!r})["replacing"]
with replacing({str(old)!r}) as file:
    file.write(b"old")
try:
    with replacing({str(old)!r}) as file:
        file.write(bytes(2**22))
except OSError as error:
    print(error)
print(os.listdir({str(tmp_path)!r}), open({str(old)!r}).read())"""
    # The disk disappears when the process ends.
    mount = f'mount -t tmpfs -o size=1m none {tmp_path} || exit 77; exec {sys.executable} -c "$CODE"'
    command = ["unshare", "--mount", "--map-root-user", "bash", "-c", mount]
    done = subprocess.run(command, env=os.environ | {"CODE": code}, capture_output=True, text=True)
    require(done.returncode != 77, f"a way to mount a small disk ({done.stderr.strip()})")
    assert done.stdout == f"[Errno 28] {old} could not be written: No space left on device\n['old'] old\n", done.stderr


def test_ctrl_c_leaves_a_whole_bank(tmp_path):
    """Not simulated: it is sent at ten moments while 32 MB are written."""
    path = tmp_path / "bank"
    for moment in range(10):
        path.write_bytes(b"old")
        process = saving(path)
        time.sleep(0.01 * moment)
        while process.exitcode is None:  # Python drops an interrupt that arrives while an object is being deleted
            os.kill(process.pid, signal.SIGINT)
            process.join(5)
        assert process.exitcode == 1 and list(tmp_path.iterdir()) == [path]
        assert path.read_bytes() == b"old" or len(MemoryBank.load(path)) == 10**6


def test_the_target_of_a_link_is_replaced_and_keeps_its_mode(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"old")
    file.chmod(0o640)
    link.symlink_to(file)
    with replacing(link) as opened:
        opened.write(b"new")
    assert link.is_symlink() and file.read_bytes() == b"new" and file.stat().st_mode & 0o777 == 0o640


def test_a_new_file_gets_the_usual_mode(tmp_path):
    with open(tmp_path / "usual", "wb"), replacing(tmp_path / "möbius 面") as file:
        file.write(b"new")
    assert (tmp_path / "möbius 面").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_path_that_cannot_be_written_is_refused_beforehand(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    for name, message in {
        ".": "a folder is there",
        "absent/new": "absent is missing",
        "file/new": "file is a file",
        "loop": "leads back to itself",
        "pipe": "not an ordinary file",
    }.items():
        with pytest.raises(OSError, match=message):
            writable(tmp_path / name)
    with pytest.raises(ValueError, match="path was of type NoneType"):
        writable(None)


def test_a_folder_without_a_name_is_not_the_current_one():
    with pytest.raises(FileNotFoundError, match="'' is not the name of a folder"):
        folder_to_write("")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, what in ((tmp_path / "pipe", "not an ordinary file"), (tmp_path, "a folder")):
        with pytest.raises(OSError, match=what):
            ordinary(path)

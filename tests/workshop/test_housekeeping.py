"""A full disk, idle seats, and the end of the workshop."""

import os
import pwd
import re
import subprocess
import time
from contextlib import contextmanager

import psutil
import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk and make system users")
IDLE = 15  # seconds


@pytest.fixture(scope="module")
def small(open_folder, opened):
    """A workshop on a disk of 16 MiB that soon stops idle seats."""
    disk = open_folder / "small"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "small", disk], check=True)
    (disk / "state").mkdir()
    (open_folder / "cache").mkdir()
    (disk / "state" / "cache").symlink_to(open_folder / "cache")  # the cache alone would fill the disk
    with opened("--seats", "2", "--idle-minutes", str(IDLE / 60), state="small/state") as workshop:
        yield workshop
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture(scope="module")
def ada(small, run):
    learner = small.learner("Ada")
    assert run(learner.log_in()).code == 200
    run(learner.start())
    return learner


@contextmanager
def full(workshop):
    """Inside the block, the workshop's disk is full."""
    filler = workshop.state / "filler"
    try:
        with pytest.raises(OSError, match="No space left"), filler.open("wb") as file:
            while True:
                file.write(bytes(2**12))
                file.flush()
        yield
    finally:
        filler.unlink()


def test_on_a_full_disk_nothing_saved_is_lost(small, ada, run):
    from patchcore_edu.workshop.classroom import printed

    notebook = run(ada.get("/api/contents/03_aggregation.ipynb"))["content"]
    notebook["cells"][0]["source"] = "saved before"
    assert run(ada.save("03_aggregation.ipynb", notebook)).code == 200
    with full(small):
        for name in ("00_tour.ipynb", "03_aggregation.ipynb"):
            assert run(ada.get(f"/api/contents/{name}"))["content"]["cells"]
        kernel = run(ada.open("00_tour.ipynb"))
        assert printed(run(kernel.run("print(2 + 2)"))) == "4\n"
        notebook["cells"][0]["source"] = "too much " * 2**16
        refused = run(ada.save("03_aggregation.ipynb", notebook))
        assert refused.code == 500 and re.search("disk is full|No space left", refused.body.decode())
        newcomer = small.learner("Bob")
        assert run(newcomer.log_in()).code >= 500  # the PIN cannot be saved
    assert run(ada.get("/api/contents/03_aggregation.ipynb"))["content"]["cells"][0]["source"] == "saved before"
    notebook["cells"][0]["source"] = "saved after"
    assert run(ada.save("03_aggregation.ipynb", notebook)).code == 200
    assert run(newcomer.log_in()).code == 200
    assert run(ada.ask("/hub/home")).code == 200


def test_an_idle_seat_is_stopped_and_keeps_its_work(small, ada, run):
    notebook = run(ada.get("/api/contents/00_tour.ipynb"))["content"]
    notebook["cells"][0]["source"] = "before the break"
    assert run(ada.save("00_tour.ipynb", notebook)).code == 200
    deadline = time.monotonic() + 90
    while not re.search("Culling server ada.*User ada server took .* to stop", small.log(), re.DOTALL):
        assert time.monotonic() < deadline, small.log()[-2000:]
        time.sleep(1)
    (home,) = (small.state / "seats").glob("*-ada")
    assert "before the break" in (home / "course" / "00_tour.ipynb").read_text()


def test_a_hub_on_a_full_disk_ends_when_told_to_and_finds_its_seats_at_the_next_start(small, ada, run):
    run(ada.start())
    notebook = run(ada.get("/api/contents/00_tour.ipynb"))["content"]
    notebook["cells"][0]["source"] = "before the end"
    assert run(ada.save("00_tour.ipynb", notebook)).code == 200
    run(ada.open("00_tour.ipynb"))
    supervisor = psutil.Process(small.process.pid)
    everything = supervisor.children(recursive=True)
    with full(small):
        small.stop()  # raises if it does not end: JupyterHub alone would run forever
        _, alive = psutil.wait_procs(everything, 10)
        assert not alive
        with pytest.raises(RuntimeError, match=r"hub: no space left on the disk of .*: make room"):
            small.start()
    small.start()
    run(ada.start())  # her cookie is still valid
    assert run(ada.get("/api/contents/00_tour.ipynb"))["content"]["cells"][0]["source"] == "before the end"


def test_everything_is_deleted_only_when_the_workshop_has_ended(small, ada, run):
    homes = list((small.state / "seats").iterdir())
    assert homes and all(pwd.getpwnam(home.name).pw_dir == str(home) for home in homes)
    sockets = (homes[0] / ".run").readlink()

    def delete():
        command = small.command("hub", "--delete-everything", "--state", str(small.state))
        return subprocess.run(command, env=small.environment, cwd=small.folder, capture_output=True, text=True)

    refused = delete()
    assert refused.returncode == 2 and "end the workshop that runs there" in refused.stderr
    assert small.state.exists() and sockets.exists()
    small.stop()
    done = delete()
    assert done.returncode == 0 and f"{len(homes)} seats" in done.stdout, done.stderr
    assert not small.state.exists() and not sockets.exists()
    for home in homes:
        with pytest.raises(KeyError):
            pwd.getpwnam(home.name)

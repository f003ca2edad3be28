"""Real failures in a workshop: the seat comes back with its work, and the others notice nothing."""

import asyncio
import signal
import time

import psutil
import pytest


def said(run, kernel, code: str, seconds: float = 60) -> str:
    """Return what a cell printed, or the exception that it raised."""
    from patchcore_edu.workshop.classroom import errors, printed

    messages = run(kernel.run(code, seconds))
    return "".join(errors(messages)) or printed(messages)


def eventually(run, attempt, seconds: float = 60) -> object:
    """Repeat `attempt` until its coroutine succeeds with a true result, and return that."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answer := run(asyncio.wait_for(attempt(), 20)):
                return answer
        except Exception:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "it never happened"
        run(asyncio.sleep(0.5))


async def connected(learner, kernel: str):
    """Return a new WebSocket to a kernel that responds."""
    socket = await learner.connect(kernel)
    await socket.run("None", 15)
    return socket


@pytest.fixture(scope="module")
def seated(three, run):
    """[(learner, kernel where x = 1), (another learner, kernel where x = 2)], each over a new WebSocket."""

    async def sit(learner, x):
        await learner.start()
        kernel = await learner.open("03_aggregation.ipynb")
        await kernel.run(f"x = {x}")
        return learner, kernel

    return [run(sit(learner, number)) for number, (learner, _) in enumerate(three[:2], 1)]


def test_a_closed_lid(seated, run):
    learner, kernel = seated[0]
    kernel.close()
    run(kernel.closed.wait())
    again = run(connected(learner, kernel.id))
    assert said(run, again, "print(x)") == "1\n"


def test_a_killed_kernel_is_restarted(seated, run):
    (learner, kernel), (_, other) = seated
    socket = run(connected(learner, kernel.id))
    with pytest.raises((asyncio.TimeoutError, ConnectionError)):
        run(socket.run("import os; os.kill(os.getpid(), 9)", 6))
    again = eventually(run, lambda: connected(learner, kernel.id))
    assert "NameError" in said(run, again, "x")
    assert said(run, other, "print(x)") == "2\n"


def test_a_process_that_requests_too_much_memory_gets_a_memory_error(seated, run):
    (learner, kernel), (_, other) = seated
    socket = run(connected(learner, kernel.id))
    assert "MemoryError" in said(run, socket, "x = 1; hog = bytearray(2 * 2**30)")
    assert said(run, socket, "print(x)") == "1\n" and said(run, other, "print(x)") == "2\n"


def test_a_seat_above_its_limit_loses_its_largest_kernel(seated, run, workshop):
    (learner, kernel), (_, other) = seated
    socket = run(connected(learner, kernel.id))
    hog = "import time\nhog = []\nwhile True:\n    hog.append(bytes([1]) * 2**25); time.sleep(0.05)"
    assert said(run, socket, "x = 1") == ""
    try:
        assert "MemoryError" in said(run, socket, hog, 40)
    except (asyncio.TimeoutError, ConnectionError):
        pass  # killed while it ran

    async def noticed():
        return "its largest process" in workshop.log()

    eventually(run, noticed)
    again = eventually(run, lambda: connected(learner, kernel.id))
    assert "NameError" in said(run, again, "x")
    assert run(learner.get("/api/status")) and said(run, other, "print(x)") == "2\n"


def test_a_killed_proxy_comes_back_and_kernels_keep_their_state(seated, run, workshop):
    learner, kernel = seated[1]
    psutil.Process(int((workshop.state / "hub" / "proxy.pid").read_text())).send_signal(signal.SIGKILL)
    again = eventually(run, lambda: connected(learner, kernel.id))
    assert said(run, again, "print(x)") == "2\n"


def test_a_killed_hub_comes_back_and_kernels_keep_their_state(seated, run, workshop):
    learner, kernel = seated[1]
    children = psutil.Process(workshop.process.pid).children()
    alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    (hub,) = [child for child in alive if "server.py" in " ".join(child.cmdline())]
    (culler,) = [child for child in hub.children() if "culler.py" in " ".join(child.cmdline())]
    while time.time() - hub.create_time() < 21:  # if it ended sooner, it would count as one that cannot start
        time.sleep(0.5)
    hub.send_signal(signal.SIGKILL)
    run(asyncio.sleep(1))
    again = eventually(run, lambda: connected(learner, kernel.id), 120)
    assert said(run, again, "print(x)") == "2\n"
    assert "takes over its seats" in workshop.output.read_text()
    psutil.wait_procs([culler], 10)
    assert not culler.is_running()  # the new hub has its own
    newcomer = workshop.learner("Anna")
    assert eventually(run, newcomer.log_in).code == 200
    run(newcomer.start())  # her seat kept running; this only gets its cookie for her new browser
    run(newcomer.get("/api/contents"))


def test_a_killed_server_is_restarted_with_the_work_saved(seated, run, workshop):
    learner, kernel = seated[1]
    notebook = run(learner.get("/api/contents/00_tour.ipynb"))["content"]
    notebook["cells"][0]["source"] = "before the crash"
    assert run(learner.save("00_tour.ipynb", notebook)).code == 200
    socket = run(connected(learner, kernel.id))
    server = psutil.Process(int(said(run, socket, "import os; print(os.getppid())")))
    server.send_signal(signal.SIGKILL)

    async def back():
        await learner.start(20)
        return True

    eventually(run, back)
    assert run(learner.get("/api/contents/00_tour.ipynb"))["content"]["cells"][0]["source"] == "before the crash"
    _, alive = psutil.wait_procs(server.children() if server.is_running() else [], 10)
    assert not alive  # its kernels ended too

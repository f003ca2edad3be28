"""A rehearsal with a running hub: as many learners at once as there are seats, and how long they have to wait."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from statistics import median, quantiles

import psutil

from patchcore_edu.workshop.classroom import PICTURE, Kernel, Learner, errors
from patchcore_edu.workshop.spawner import MIB, memory_of, seat_processes

PIN = "4711"
CELL = 1200  # seconds; a slow cell is not a failure: thirty at once on two cores wait for one another


@dataclass(frozen=True)
class Pace:
    """How learners behave, in seconds.

    Attributes:
        arrival: all log in within this time.
        reading: before each cell, on average.
        sliding: between two moves of a slider.
        slides: how many moves at the end of each notebook.
    """

    arrival: float = 60
    reading: float = 4
    sliding: float = 10
    slides: int = 6


@dataclass
class Result:
    """What all learners experienced: seconds in lists, one number per event; failures as text."""

    failures: list[str] = field(default_factory=list)
    start: list[float] = field(default_factory=list)  # from the login to a server that responds
    first_picture: list[float] = field(default_factory=list)  # from the login to the first picture, reading left out
    slide: list[float] = field(default_factory=list)
    seat_mib: dict[str, float] = field(default_factory=dict)  # the most that each used
    all_mib: float = 0  # the most that all seats and the hub used at one time
    cells: int = 0

    def __str__(self) -> str:
        lines = [f"failures         {len(self.failures)}"]
        for name, numbers, unit in (("server", self.start, "s"), ("first picture", self.first_picture, "s"),
                                    ("slider", [1000 * s for s in self.slide], "ms"),
                                    ("seat", list(self.seat_mib.values()), "MiB")):  # fmt: skip
            lines.append(f"{name:<16} {spread(numbers)} {unit}")
        lines += [f"all seats, hub   {self.all_mib:,.0f} MiB", f"cells run        {self.cells}"]
        return "\n".join(lines + self.failures[:10])


def spread(numbers: list[float]) -> str:
    """Median, 95th percentile and largest.

    >>> spread([1.0, 2.0, 4.0])
    'median 2.0, p95 3.8, most 4.0 of 3'
    """
    if len(numbers) < 2:
        return f"{numbers} once"
    high = quantiles(numbers, n=20, method="inclusive")[-1]
    return f"median {median(numbers):.1f}, p95 {high:.1f}, most {max(numbers):.1f} of {len(numbers)}"


async def rehearse(address: str, passphrase: str, seats: int, notebooks: tuple[str, ...], pace: Pace) -> Result:
    """Let `seats` learners run `notebooks` cell by cell and move sliders; failures are noted, not raised."""
    result, draw = Result(), random.Random(0)
    people = [_learner(Learner(address, f"rehearsal {number:02}", passphrase, PIN), notebooks, pace,
                       random.Random(draw.random()), result) for number in range(1, seats + 1)]  # fmt: skip
    watch = asyncio.ensure_future(_watch(result))
    for outcome in await asyncio.gather(*people, return_exceptions=True):
        if isinstance(outcome, Exception):
            result.failures.append(f"{type(outcome).__name__}: {outcome}")
    watch.cancel()
    return result


async def _learner(learner: Learner, notebooks: tuple[str, ...], pace: Pace, draw: random.Random, result: Result):
    await asyncio.sleep(draw.uniform(0, pace.arrival))
    began, read, pictured = time.monotonic(), 0.0, False
    answer = await learner.log_in()
    if answer.code != 200:
        raise RuntimeError(f"{learner.name} was not let in: {answer.code}")
    await learner.start()
    result.start.append(time.monotonic() - began)
    for name in notebooks:
        notebook = (await learner.get(f"/api/contents/{name}"))["content"]
        kernel = await learner.open(name)
        for cell in notebook["cells"]:
            if cell["cell_type"] != "code":
                continue
            pause = draw.uniform(0.5, 1.5) * pace.reading
            await asyncio.sleep(pause)
            read += pause
            messages = await kernel.run(cell["source"], CELL)
            result.cells += 1
            result.failures += [f"{learner.name}, {name}: {error}" for error in errors(messages)]
            if not pictured and any(PICTURE in message["content"].get("data", {}) for message in messages):
                pictured = True
                result.first_picture.append(time.monotonic() - began - read)
        if (await learner.save(name, notebook)).code != 200:
            result.failures.append(f"{learner.name}, {name}: was not saved")
        for _ in range(pace.slides):
            await asyncio.sleep(pace.sliding)
            await _slide(kernel, draw, result)
        kernel.close()
        await learner.ask(f"{learner.seat}/api/kernels/{kernel.id}", "DELETE")
    await learner.stop()


async def _slide(kernel: Kernel, draw: random.Random, result: Result) -> None:
    model = draw.choice(kernel.sliders())
    state = kernel.widgets[model]
    # A selection slider moves along its options, the others along their values.
    if "index" in state:
        name, values = "index", range(len(state["_options_labels"]))
    else:
        low, high, step = (state.get(name, 1) for name in ("min", "max", "step"))
        name, values = "value", [low + step * number for number in range(int((high - low) / step) + 1)]
    value = draw.choice([value for value in values if value != state[name]])
    began = time.monotonic()
    messages = await kernel.move(model, name, value)
    result.slide.append(time.monotonic() - began)
    state[name] = value
    if errors(messages) or not any(message["msg_type"] == "comm_msg" for message in messages):
        result.failures.append(f"a slider moved to {value}, and nothing changed: {errors(messages)}")


async def _watch(result: Result) -> None:
    """Note every few seconds how much memory each seat uses, and all of them with the hub and its proxy."""
    while True:
        seats, others = await asyncio.to_thread(_held)  # it takes a while, and the learners carry on
        for pid, mib in seats.items():
            result.seat_mib[pid] = max(mib, result.seat_mib.get(pid, 0))
        result.all_mib = max(result.all_mib, sum(seats.values()) + others)
        await asyncio.sleep(5)


def _held() -> tuple[dict[int, float], float]:
    """({a seat's process: MiB of it and all that it started}, MiB of the hub, its proxy and the culler)."""
    seats, others = {}, 0.0
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        try:
            if "jupyterhub.singleuser" in command:
                seats[process.pid] = sum(map(memory_of, seat_processes(process.pid))) / MIB
            elif any(word in command for word in ("workshop/server.py", "workshop/proxy.py", "workshop/culler.py")):
                others += memory_of(process) / MIB
        except psutil.NoSuchProcess:
            continue
    return seats, others

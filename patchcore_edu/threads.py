"""Work cut into parts that do not wait for one another, one thread each: about as fast on a busy machine as when idle.

PyTorch's own threads share every single operation, and spin at its end until all are done. If another process takes
one core, each of the thousand operations of a search then waits for a time slice: up to thirty times as long. Where
they are used all the same, in the literal loops of a notebook, they are told to sleep sooner.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar


@contextmanager
def _short_spins() -> Iterator[None]:
    """A setting for the library of PyTorch's threads (libgomp, on Linux), which reads it only when it is loaded.

    Idle threads then check a thousand times whether the others are done, and sleep. Sleeping at once
    (OMP_WAIT_POLICY=PASSIVE) slows small operations on an idle machine down five times. A user's own setting wins,
    and the environment is left as it was.
    """
    if {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = "1000"
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]


with _short_spins():
    import torch

Part, Result = TypeVar("Part"), TypeVar("Result")
_allowed: ContextVar[int | None] = ContextVar("threads for parts", default=None)


def in_parts(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """`function` of every part, in order, on as many threads as PyTorch may use here; no thread remains afterwards.

    A thread that is done takes the next part, so one that has lost its core does less. All of them have the caller's
    grad and inference mode.

    >>> in_parts(torch.sum, torch.arange(6.0).split(2))
    [tensor(1.), tensor(5.), tensor(9.)]
    """
    with without_barriers() as threads:
        threads = min(threads, len(parts))
        if threads < 2:
            return [function(part) for part in parts]
        results, waiting = [None] * len(parts), iter(range(len(parts)))
        grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

        def work() -> None:
            alone = _allowed.set(1)  # what a part divides further stays on its thread
            try:
                with torch.inference_mode(inference), torch.set_grad_enabled(grad):
                    for i in waiting:
                        results[i] = function(parts[i])
            finally:
                list(waiting)  # after an error or an interrupt, no thread begins another part
                _allowed.reset(alone)

        with ThreadPoolExecutor(threads - 1) as pool:
            helping = [pool.submit(work) for _ in range(threads - 1)]
            work()
            for helper in helping:
                helper.result()
        return results


def shares(rows: int, at_least: int = 1) -> list[slice]:
    """0 … rows − 1 in even shares: two for each thread that has `at_least` so many rows, so that none waits long.

    >>> with one_thread():
    ...     shares(10, at_least=2)
    [slice(0, 10, None)]
    """
    with without_barriers() as threads:
        threads = min(threads, rows // max(1, at_least))
    size = max(1, -(-rows // (2 * threads)) if threads > 1 else rows)
    return [slice(i, min(i + size, rows)) for i in range(0, rows, size)]


@contextmanager
def without_barriers() -> Iterator[int]:
    """PyTorch works on one thread, and `in_parts` on as many as PyTorch might have used: this number is yielded.

    A thread started in the meantime inherits PyTorch's one thread. Afterwards all is as before.
    """
    with one_thread() as before:
        token = _allowed.set(_allowed.get() or before)
        try:
            yield _allowed.get()
        finally:
            _allowed.reset(token)


@contextmanager
def one_thread() -> Iterator[int]:
    """PyTorch on one thread: for small jobs beside a browser, whose drawing takes the other core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)

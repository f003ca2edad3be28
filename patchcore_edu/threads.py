"""Work cut into parts that wait for nobody, a thread each: as fast on a busy machine as on an idle one.

PyTorch's own threads share every single operation and spin at its end until all have come. With one core taken by
another process, each of the thousand operations of a search then waits for a slice of time: up to thirty times as long.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import TypeVar

import torch

Part, Result = TypeVar("Part"), TypeVar("Result")


def in_parts(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """`function` of every part, in their order, on as many threads as PyTorch may use here; no thread is left.

    Whoever is done takes the next part, so a thread that has lost its core does less. Grad and inference mode belong
    to a thread: `function` sets its own.

    >>> in_parts(torch.sum, torch.arange(6.0).split(2))
    [tensor(1.), tensor(5.), tensor(9.)]
    """
    allowed = torch.get_num_threads()
    threads = min(allowed, len(parts))
    if threads < 2:
        return [function(part) for part in parts]
    results, waiting, ready = [None] * len(parts), iter(range(len(parts))), Barrier(threads + 1)

    def work() -> None:
        torch.get_num_threads()  # a new thread's first call takes over the process's number, later ones leave it alone
        torch.set_num_threads(1)
        ready.wait()
        try:
            for i in waiting:
                results[i] = function(parts[i])
        finally:
            list(waiting)  # after an error nobody begins another part

    with ThreadPoolExecutor(threads) as pool:
        working = [pool.submit(work) for _ in range(threads)]
        ready.wait()
        torch.set_num_threads(allowed)  # what a thread sets, PyTorch hands to every later thread of the process
        try:
            for done in working:
                done.result()
        finally:
            list(waiting)  # nor after an interrupt
    return results


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: for small work beside a browser, whose drawing takes the other core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

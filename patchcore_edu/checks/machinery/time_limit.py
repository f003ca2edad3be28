"""A limit on the time a learner's function may take: an endless loop must not hang the notebook."""

import _thread
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer, current_thread, main_thread

SECONDS = 10  # every right answer takes a fraction of a second


class TookTooLong(Exception):
    """A function that was stopped."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt this block after some seconds, as Ctrl-C would, and raise `TookTooLong` instead.

    Only in the main thread, where notebooks run their cells: no other can be interrupted.

    >>> with time_limit(0.05):
    ...     while True:
    ...         pass
    Traceback (most recent call last):
    patchcore_edu.checks.machinery.time_limit.TookTooLong: did not end within 0.05 seconds; is there an endless loop?
    """
    if current_thread() is not main_thread():
        yield
        return
    late = False

    def interrupt() -> None:
        nonlocal late
        late = True
        if hasattr(signal, "pthread_kill"):  # also wakes a sleeping call; Windows does not have it
            signal.pthread_kill(main_thread().ident, signal.SIGINT)
        else:
            _thread.interrupt_main()

    timer = Timer(seconds, interrupt)
    timer.daemon = True
    # A process started in the background by a script ignores the interrupt, and would never end.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    try:
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # if it has fired after all, its interrupt arrives here and not somewhere later
            if before is not None:  # None is a handler that Python did not set and cannot put back
                signal.signal(signal.SIGINT, before)
    except KeyboardInterrupt:
        if not late:
            raise
        raise TookTooLong(f"did not end within {seconds:g} seconds; is there an endless loop?") from None

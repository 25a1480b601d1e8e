"""Keeps a lease alive in the background while its holder works, and tells the holder when it was lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from slackwater.errors import LeaseLost, StoreUnavailable


@contextmanager
def renewing(renew: Callable[[], None], *, every_seconds: float) -> Iterator[Callable[[], None]]:
    """Call `renew` regularly while the block runs.

    Args:
        renew: Extends the lease; raises `LeaseLost` when somebody else holds it.
        every_seconds: A third of the lease or less, so that one failed call is no loss.

    Yields:
        A function that raises `LeaseLost` when the lease was lost; call it before a step that cannot be undone.
    """
    stopped, lost = Event(), Event()

    def keep() -> None:
        while not stopped.wait(every_seconds):
            try:
                renew()
            except LeaseLost:
                lost.set()
                return
            except StoreUnavailable:
                continue  # the next call may succeed; if none does, the lease runs out and the marks refuse

    def check() -> None:
        if lost.is_set():
            raise LeaseLost("the lease was taken by somebody else while the work was running")

    thread = Thread(target=keep, name="lease-renewal", daemon=True)
    thread.start()
    try:
        yield check
    finally:
        stopped.set()
        thread.join()

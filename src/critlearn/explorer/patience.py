"""A computation that is given up after a stated time, so that the page never seems to have died."""

import ctypes
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from critlearn.errors import InvalidInputError

PATIENCE: Final = 20.0
"""Seconds that a computation may take: longer, and the page seems to have died."""

_AGAIN: Final = 1.0
"""Seconds until the exception is raised once more, should something have swallowed it."""

_TURNS: Final = 100
"""Turns of an empty loop, in one of which a late exception arrives: it is raised between two instructions."""

Value = TypeVar("Value")


class _TimeIsUpError(BaseException):
    """Raised inside the computation. Not an `Exception`, which SymPy swallows on its way."""


def within(seconds: float, compute: Callable[[], Value]) -> Value:
    """Result of a computation that is given up after some seconds.

    A watching thread raises an exception in the one that computes: unlike the trace function of
    `numerics.time_budget`, which is called at every call, this costs a computation that is in time nothing.

    Raises
    ------
    InvalidInputError
        If the time is up.

    >>> within(10.0, lambda: 1 + 1)
    2
    """
    thread, done, raising = threading.get_ident(), threading.Event(), threading.Lock()

    def watch() -> None:
        wait = seconds
        # Again, should something on the way have caught it.
        while not done.wait(wait):
            with raising:
                if not done.is_set():
                    _raise_in(thread)
            wait = _AGAIN

    threading.Thread(target=watch, daemon=True).start()
    try:
        try:
            return compute()
        finally:
            with raising:
                done.set()
            # What was raised at the last moment arrives where a loop turns: here, and not later. To take it back
            # instead would leave the interpreter looking for it at every step.
            for _ in range(_TURNS):
                pass
    except _TimeIsUpError:
        done.set()
        raise InvalidInputError(
            f"given up after {seconds:g} seconds, which is as long as the page waits: simplify what is asked for, or "
            "use the command line, which waits until it is done"
        ) from None


def _raise_in(thread: int) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_TimeIsUpError))

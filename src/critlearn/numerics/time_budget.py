"""A limit on the time that a symbolic computation may take, in any thread."""

import inspect
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar


class BudgetExceededError(BaseException):
    """The time of a `time_budget` is spent. Not an `Exception`: SymPy catches these and goes on."""


@contextmanager
def time_budget(seconds: float) -> Iterator[None]:
    """Raise `BudgetExceededError` inside the block once that much processor time of this thread is spent.

    Checked whenever a Python function is called, by a trace function: unlike a signal this works outside the main
    thread, and pure Python such as SymPy's calls functions all the time. A debugger or coverage tool is put back after.

    >>> with time_budget(10.0):
    ...     1 + 1
    2
    """
    deadline = time.thread_time() + seconds
    before = sys.gettrace()

    def check(frame: FrameType, event: str, argument: Any) -> None:
        # Not inside a generator: what is raised while one is closed gets lost.
        if time.thread_time() > deadline and not frame.f_code.co_flags & inspect.CO_GENERATOR:
            raise BudgetExceededError

    # `check` returns None: only calls are traced, not every line.
    sys.settrace(check)
    try:
        yield
    finally:
        sys.settrace(before)


Value = TypeVar("Value")


PATIENCE = 1.0
"""Factor of every allowance; larger on a machine that is slow, or where every call is checked."""


class Allowance:
    """Processor time that several computations share; each gets what those before it have left.

    >>> Allowance(1.0).spend(lambda: 2 + 2)
    4
    """

    def __init__(self, seconds: float) -> None:
        self.left = PATIENCE * seconds

    def spend(self, compute: Callable[[], Value]) -> Value | None:
        """Result of the computation; None if it does not end in the time that is left."""
        if self.left <= 0:
            return None
        start = time.thread_time()
        try:
            with time_budget(self.left):
                return compute()
        except BudgetExceededError:
            return None
        finally:
            self.left -= time.thread_time() - start

"""A limit on the time that a symbolic computation may take, in any thread."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class BudgetExceededError(BaseException):
    """The time was up: take another way. Not an `Exception`, which SymPy swallows on its way."""


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
        if time.thread_time() > deadline:
            sys.settrace(before)
            raise BudgetExceededError

    sys.settrace(check)
    try:
        yield
    finally:
        sys.settrace(before)

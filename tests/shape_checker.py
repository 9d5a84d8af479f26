"""Checker of types and array shapes that the test run puts round every function of critlearn."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FunctionType
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

# An int is welcome where a float is asked for, as in ordinary Python. What is refused raises what jaxtyping raises.
check = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError))

FIRST = 10
"""Calls of a function that are checked in each test. What is called thousands of times is called alike: with all of its
calls checked a fit took twice the time."""

ONE_OF = 50
"""Of further calls one of so many is checked."""

_by_jaxtyping = jaxtyping.jaxtyped
_test = 0


def install() -> None:
    """Have functions checked by `checked` instead of by jaxtyping alone, which takes half the time of some tests."""
    jaxtyping.jaxtyped = checked  # type: ignore[assignment]


@contextmanager
def switched_off() -> Iterator[None]:
    """Context without the checker: a whole run is many calls, and the checker is for the tests of its parts."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def begin_test() -> None:
    """Count calls anew."""
    global _test
    _test += 1


def checked(function: Any = None, *, typechecker: Any = None) -> Any:
    """Function whose arguments and result are checked, as long as the checker is not switched off.

    A function inside another one is left as it is: it is made anew with each call, and its checker would be, too.
    """
    if function is None:
        return lambda function: checked(function, typechecker=typechecker)
    if inspect.isclass(function):
        if dataclasses.is_dataclass(function) and isinstance(vars(function).get("__init__"), FunctionType):
            function.__init__ = checked(function.__init__)  # type: ignore[misc]
        return function
    if not isinstance(function, FunctionType):
        return _by_jaxtyping(function, typechecker=typechecker)
    if "<locals>" in function.__qualname__:
        return function
    return _often_enough(function)


def _strict(function: Callable[..., Any]) -> Callable[..., Any]:
    """Function whose arguments and result are checked at every call."""
    if _has_unknown_names(function):
        return _by_jaxtyping(function, typechecker=check)
    strict: Callable[..., Any] = check(function)
    # Once over arguments and result together; jaxtyping's own checker goes over the arguments twice.
    return _by_jaxtyping(strict, typechecker=None) if _has_shapes(function) else strict


def _has_unknown_names(function: Callable[..., Any]) -> bool:
    """Whether an annotation is a name in quotes; jaxtyping passes over one that is not there, beartype does not."""
    return any(isinstance(one, str) or "ForwardRef" in repr(one) for one in function.__annotations__.values())


def _has_shapes(function: Callable[..., Any]) -> bool:
    return any("jaxtyping" in repr(one) for one in function.__annotations__.values())


def _often_enough(function: Callable[..., Any]) -> Callable[..., Any]:
    """Function that is checked in its first calls of each test, and then in one of many."""
    config = jaxtyping.config
    strict: Callable[..., Any] | None = None
    test = calls = 0

    @wraps(function)
    def either(*arguments: Any, **settings: Any) -> Any:
        nonlocal strict, test, calls
        if config.jaxtyping_disable:
            return function(*arguments, **settings)
        if test != _test:
            test, calls = _test, 0
        calls += 1
        if calls > FIRST and calls % ONE_OF:
            return function(*arguments, **settings)
        # A checker is made when it is first needed: those of the whole package take seconds.
        strict = strict or _strict(function)
        return strict(*arguments, **settings)

    return either

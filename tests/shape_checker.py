"""Checker of types and array shapes that the test run puts round every function of critlearn."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FunctionType
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

# An int is welcome where a float is asked for, as in ordinary Python. What is refused raises what jaxtyping raises.
check = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError))

_by_jaxtyping = jaxtyping.jaxtyped


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


def checked(function: Any = None, *, typechecker: Any = None) -> Any:
    """Function whose arguments and result are checked, as long as the checker is not switched off.

    A function inside another one is left as it is: it is made anew with each call, and its checker would be, too.
    """
    if function is None:
        return lambda function: checked(function, typechecker=typechecker)
    if not isinstance(function, FunctionType) or _has_unknown_names(function):
        return _by_jaxtyping(function, typechecker=typechecker)
    if "<locals>" in function.__qualname__:
        return function
    strict: Callable[..., Any] = check(function)
    if _has_shapes(function):
        # Once over arguments and result together; jaxtyping's own checker goes over the arguments twice.
        strict = _by_jaxtyping(strict, typechecker=None)
    return _unless_switched_off(function, strict)


def _has_unknown_names(function: FunctionType) -> bool:
    """Whether an annotation is a name in quotes; jaxtyping passes over one that is not there, beartype does not."""
    return any(isinstance(one, str) or "ForwardRef" in repr(one) for one in function.__annotations__.values())


def _has_shapes(function: FunctionType) -> bool:
    return any("jaxtyping" in repr(one) for one in function.__annotations__.values())


def _unless_switched_off(function: Callable[..., Any], strict: Callable[..., Any]) -> Callable[..., Any]:
    config = jaxtyping.config

    @wraps(function)
    def either(*arguments: Any, **settings: Any) -> Any:
        return (function if config.jaxtyping_disable else strict)(*arguments, **settings)

    return either

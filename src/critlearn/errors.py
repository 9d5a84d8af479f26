"""Exceptions for bad input, in a leaf module: every layer raises them.

The command line turns exactly these into one line. Whatever else is raised is a defect of critlearn
and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

RAISED_BY_USER_CODE: Final = (
    *(RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError, ArithmeticError),
)
"""What the code of a network, a loss or a data set raises where it is given what it cannot take."""


class CritlearnError(Exception):
    """Something that the user gave cannot be used; the message says what, and what is allowed."""


class InvalidInputError(CritlearnError, ValueError):
    """A value, name or combination is not allowed."""


class DataError(CritlearnError, ValueError):
    """A data set cannot be read or does not hold what is needed."""


class OutputError(CritlearnError, OSError):
    """A result cannot be written."""


class MissingPackageError(CritlearnError, ImportError):
    """A package that is optional is needed and not installed; the message says how to install it."""


class NotAtEquilibriumError(CritlearnError):
    """Equilibrium was demanded with ``throw=True`` and not reached."""


def unknown_name(kind: str, given: str, allowed: Iterable[str]) -> InvalidInputError:
    """Error for a name that is not in a catalogue, with the nearest name that is.

    >>> print(unknown_name("activation", "softsing", ["tanh", "softsign"]))
    unknown activation "softsing"; did you mean "softsign"? allowed: softsign, tanh
    """
    names = sorted(set(allowed))
    near = get_close_matches(given, names, n=2, cutoff=0.5)
    hint = "; did you mean " + " or ".join(f'"{name}"' for name in near) + "?" if near else ";"
    return InvalidInputError(f'unknown {kind} "{given}"{hint} allowed: {", ".join(names)}')


def first_line(problem: BaseException) -> str:
    """First line of a message."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]

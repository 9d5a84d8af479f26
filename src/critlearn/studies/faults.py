"""What pydantic finds wrong, in the words of someone who wrote a file: where it stands, and what should stand there."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import ValidationError

Location = tuple[int | str, ...]

_LONGEST: Final = 60
_WORDS: Final = (
    (r"^Input should be a valid (dictionary|mapping)( or instance of \w+)?", "should be a mapping"),
    (r"^Input should be a valid (tuple|list)", "should be a list"),
    (r"^Input should be a valid string", "should be text"),
    (
        r"^(Tuple|List|Dictionary) should have at least (\d+) items? after validation, not \d+",
        r"needs at least \2 entry",
    ),
    (r"^Input should", "should"),
    (r"^Value error, ", ""),
    (r"^Field required", "is missing"),
)


def first_fault(problem: ValidationError, content: object) -> tuple[Location, str]:
    """Where the first fault is, and what it is; an unknown key comes first, as what is missing may be that key.

    Parameters
    ----------
    problem
        What pydantic raised.
    content
        What was checked: steps of pydantic's own that are not found in it are left out of the place.
    """
    errors = problem.errors()
    fault = next((error for error in errors if error["type"] == "extra_forbidden"), errors[0])
    message = fault["msg"]
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    if fault["type"] not in ("missing", "extra_forbidden"):
        shown = repr(fault["input"])
        message += f"; got {shown if len(shown) <= _LONGEST else shown[:_LONGEST] + '...'}"
    return _place(fault["loc"], content, missing=fault["type"] == "missing"), message


def is_unknown_key(problem: ValidationError) -> bool:
    """Whether the first fault is a key that there is not."""
    return any(error["type"] == "extra_forbidden" for error in problem.errors())


def dotted(location: Location) -> str:
    """Location as one word."""
    return ".".join(map(str, location))


def _place(location: Location, content: object, *, missing: bool) -> Location:
    """Steps that lead somewhere, and the name of what is missing at their end."""
    kept: list[int | str] = []
    for number, step in enumerate(location, 1):
        inside = step in content if isinstance(content, Mapping) else False
        if isinstance(content, Sequence) and not isinstance(content, str) and isinstance(step, int):
            inside = step < len(content)
        if inside:
            content = content[step]  # type: ignore[index]
        elif not (missing and number == len(location)):
            continue
        kept.append(step)
    return tuple(kept)


def told(problem: ValidationError, content: object) -> str:
    """Place and message in one line."""
    return placed(*first_fault(problem, content))


def placed(location: Location, message: str) -> str:
    """Message with the place before it, if there is one."""
    return f"{dotted(location)}: {message}" if location else message

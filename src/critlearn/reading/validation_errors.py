"""Validation errors of pydantic in the words of someone who wrote a file: where the error is, and what is allowed."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import ValidationError

Location = tuple[int | str, ...]
"""Keys and positions in lists that lead to an entry of a file."""

_LONGEST: Final = 60
"""Characters of a refused value that a message repeats: messages stay on one line."""

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
"""Phrases of pydantic, as patterns, with the words that replace them."""


def first_error(problem: ValidationError, content: object) -> tuple[Location, str]:
    """Location and message of the first error; an unknown key comes first, as what is missing may be that key.

    Parameters
    ----------
    problem
        Error that pydantic raised.
    content
        Content that was validated: steps that are not in it, which pydantic adds for the members of a union, are left
        out of the location.
    """
    errors = problem.errors()
    error = next((error for error in errors if error["type"] == "extra_forbidden"), errors[0])
    message = error["msg"]
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    if error["type"] not in ("missing", "extra_forbidden"):
        shown = repr(error["input"])
        message += f"; got {shown if len(shown) <= _LONGEST else shown[:_LONGEST] + '...'}"
    return _location(error["loc"], content, missing=error["type"] == "missing"), message


def is_unknown_key(problem: ValidationError) -> bool:
    """Whether the first error is an unknown key."""
    return any(error["type"] == "extra_forbidden" for error in problem.errors())


def dotted(location: Location) -> str:
    """Location as one word, e.g. ``sweep.grid.lr.0``."""
    return ".".join(map(str, location))


def _location(location: Location, content: object, *, missing: bool) -> Location:
    """Steps of a location that exist in the content, and the name of a missing key at the end."""
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


def describe_first_error(problem: ValidationError, content: object) -> str:
    """Location and message of the first error, in one line."""
    return at_location(*first_error(problem, content))


def at_location(location: Location, message: str) -> str:
    """Message with its location before it, if there is one."""
    return f"{dotted(location)}: {message}" if location else message

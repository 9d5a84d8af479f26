"""JSON whose size, depth and numbers are bounded, so that whatever reads it can walk through it and print it."""

import json
import math
from typing import Any, Final

from critlearn.errors import DataError
from critlearn.reading.limits import DEEPEST, LARGEST_DOCUMENT, MOST_VALUES

_LARGEST_INTEGER: Final = 2**63
"""Size below which integers are read: tables hold 64 bits."""


def parsed_json(content: str | bytes, source: str) -> dict[str, Any]:
    """Object in a JSON document.

    Parameters
    ----------
    content
        The document.
    source
        Words for it at the beginning of messages.

    Raises
    ------
    DataError
        If it is too large or too deep, no object, or holds what no file of critlearn holds: numbers that are not finite
        or have more than 64 bits, halves of characters.
    """
    content = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if len(content) > LARGEST_DOCUMENT:
        raise DataError(f"{source} takes {len(content) >> 20} MiB; at most {LARGEST_DOCUMENT >> 20} are read")
    if sum(map(content.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise DataError(f"{source} holds more than {MOST_VALUES:,} values")
    try:
        value = json.loads(content)
    except RecursionError:
        raise DataError(f"{source} is nested more than {DEEPEST} levels deep") from None
    # Wrong encodings and integers of thousands of digits are ValueErrors, as what is no JSON.
    except ValueError as problem:
        raise DataError(f"{source} is not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise DataError(f"{source} is not an object")
    _check(value, source)
    return value


def _check(value: Any, source: str) -> None:
    """Raise for a value that could not be printed or compared, level by level: nothing recurses."""
    level = [value]
    for _ in range(DEEPEST + 1):
        inner: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                inner += [*part, *part.values()]
            elif isinstance(part, list):
                inner += part
            elif isinstance(part, float) and not math.isfinite(part):
                raise DataError(f"{source} holds a number that is not finite")
            elif isinstance(part, int) and abs(part) >= _LARGEST_INTEGER:
                raise DataError(f"{source} holds a whole number of more than 64 bits")
            elif isinstance(part, str) and not part.isascii():
                _check_text(part, source)
        if not inner:
            return
        level = inner
    raise DataError(f"{source} is nested more than {DEEPEST} levels deep")


def _check_text(text: str, source: str) -> None:
    """Raise for text that no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"{source} holds text with half a character (a lone surrogate)") from None

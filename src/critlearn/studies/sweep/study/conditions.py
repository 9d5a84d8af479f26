"""Conditions such as ``activation != tanh and lr < 0.01 or seed in [0, 1]``, never run as code.

They are split at their words, and values are YAML: bare names such as ``power:3`` and ``digits:3v8``, which study files
need no quotes for, are no Python, so that `ast` cannot read them.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from critlearn.errors import DataError, InvalidInputError, first_line, unknown_name
from critlearn.reading.yaml_text import parsed_yaml


def in_one_field(value: Any) -> Any:
    """Value as it stands in one field of a table: lists, such as widths, as ``16-16``."""
    return "-".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def _alike(value: Any, wanted: Any) -> bool:
    """Whether two values are the same, be they numbers, text, or widths written in any way."""
    return bool(value == wanted) or str(in_one_field(value)) == str(in_one_field(wanted))


_OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "==": _alike,
    "!=": lambda value, other: not _alike(value, other),
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "in": lambda value, values: any(_alike(value, other) for other in values),
}
_FORM: Final = re.compile(r"\s*(\w+)\s*(==|!=|<=|>=|<|>|\bin\b)\s*(.+?)\s*")

_LONGEST: Final = 4000
"""Characters of a condition: a list of a few hundred seeds has as many."""


@dataclass(frozen=True)
class Comparison:
    """One comparison of a named value with a constant."""

    name: str
    symbol: str
    value: Any

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a row satisfies the comparison; a missing value satisfies only ``!=``.

        Raises
        ------
        InvalidInputError
            If the row has no such name, or the two cannot be compared.
        """
        if self.name not in row:
            raise unknown_name("setting", self.name, row)
        value = row[self.name]
        if value is None:
            return self.symbol == "!=" and self.value is not None
        try:
            return bool(_OPERATORS[self.symbol](value, self.value))
        except TypeError:
            raise InvalidInputError(
                f'"{self.name} {self.symbol} {self.value}": {value!r} and {self.value!r} cannot be compared'
            ) from None


@dataclass(frozen=True)
class Condition:
    """Comparisons joined by ``and``, and groups of these joined by ``or``."""

    alternatives: tuple[tuple[Comparison, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names that are compared."""
        return tuple(dict.fromkeys(comparison.name for group in self.alternatives for comparison in group))

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether the row satisfies all comparisons of one alternative.

        Raises
        ------
        InvalidInputError
            If the row lacks a name that is compared, or two values cannot be compared.
        """
        return any(all(comparison.holds(row) for comparison in group) for group in self.alternatives)


def parse_condition(text: str) -> Condition:
    """Comparisons joined by ``and`` and ``or``, of which ``and`` binds closer.

    Raises
    ------
    InvalidInputError
        If a part is no comparison, or the text is too long.
    """
    if len(text) > _LONGEST:
        raise InvalidInputError(f"a condition of {len(text):,} characters is too long; at most {_LONGEST:,} are read")
    alternatives = re.split(r"\s+or\s+", text)
    return Condition(tuple(tuple(_parse(part) for part in re.split(r"\s+and\s+", group)) for group in alternatives))


def _parse(part: str) -> Comparison:
    found = _FORM.fullmatch(part)
    if found is None:
        raise InvalidInputError(
            f'condition "{part}" is not of the form NAME OPERATOR VALUE with one of {", ".join(_OPERATORS)}'
        )
    try:
        (document,) = parsed_yaml(found[3], "its value")
    except (DataError, ValueError) as problem:
        raise InvalidInputError(f'condition "{part}" has no readable value: {first_line(problem)}') from None
    value = document.content
    if found[2] == "in" and not isinstance(value, list):
        raise InvalidInputError(f'condition "{part}" needs a list after "in", as in [tanh, erf]')
    if isinstance(value, str):
        # YAML reads 1e-3, without a point, as text.
        with suppress(ValueError):
            value = int(value) if value.isdecimal() else float(value)
    constants = value if isinstance(value, list) else [value]
    if any(isinstance(constant, float) and not math.isfinite(constant) for constant in constants):
        raise InvalidInputError(f'condition "{part}" compares with a number that is not finite')
    return Comparison(found[1], found[2], value)

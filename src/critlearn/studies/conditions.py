"""Conditions such as ``activation != tanh and lr < 0.01``: read by a small grammar, never evaluated as code."""

import operator
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import yaml

from critlearn.errors import InvalidInputError, unknown_name

_OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM: Final = re.compile(r"\s*(\w+)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*")


@dataclass(frozen=True)
class Condition:
    """One comparison of a named value with a constant."""

    name: str
    symbol: str
    value: Any

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether the row satisfies it; a missing value satisfies only ``!=``.

        Raises
        ------
        InvalidInputError
            If the row has no such name, or the two cannot be compared.
        """
        if self.name not in row:
            raise unknown_name("setting", self.name, row)
        given = row[self.name]
        if given is None:
            return self.symbol == "!=" and self.value is not None
        given = list(given) if isinstance(given, tuple) else given
        try:
            return bool(_OPERATORS[self.symbol](given, self.value))
        except TypeError:
            raise InvalidInputError(
                f'"{self.name} {self.symbol} {self.value}": {given!r} and {self.value!r} cannot be compared'
            ) from None


def parse_conditions(text: str) -> tuple[Condition, ...]:
    """Comparisons joined by ``and``.

    Raises
    ------
    InvalidInputError
        If a part is no comparison.
    """
    return tuple(_parse(part) for part in re.split(r"\s+and\s+", text))


def _parse(part: str) -> Condition:
    found = _FORM.fullmatch(part)
    if found is None:
        raise InvalidInputError(
            f'condition "{part}" is not of the form NAME OPERATOR VALUE with one of {", ".join(_OPERATORS)}'
        )
    try:
        value = yaml.safe_load(found[3])
    except yaml.YAMLError:
        raise InvalidInputError(f'condition "{part}" has no readable value') from None
    if isinstance(value, str):
        # YAML reads 1e-3, without a point, as text.
        with suppress(ValueError):
            value = float(value)
    return Condition(found[1], found[2], value)

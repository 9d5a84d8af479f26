"""What all result objects have in common: one line for a person, plain values for a program, a table for a notebook.

A leaf module: every layer returns results, and none of them should need another to show itself.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import Enum
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast, final

if TYPE_CHECKING:
    import pandas as pd
    from _typeshed import DataclassInstance

_MOST_SHOWN: Final = 6
"""Numbers of a list that are shown before the rest is only counted."""


class Result(ABC):
    """Outcome that shows itself: subclasses give `summary`, everything else follows from their fields.

    A dataclass that inherits from it needs ``repr=False``, so that its fields do not flood the screen.
    """

    # In slots, or classes with slots would get a dictionary from here.
    __slots__ = ()

    derived_values: ClassVar[tuple[str, ...]] = ()
    """Properties that stand beside the fields in `to_dict`."""

    bulky_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that are left out of `to_dict`: whole arrays, and what only further computation needs."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values of the fields and the derived values; numbers that do not exist are None."""
        names = (field.name for field in fields(cast("DataclassInstance", self)))
        kept = (name for name in names if name not in self.bulky_fields)
        return {name: plain(getattr(self, name)) for name in (*kept, *self.derived_values)}

    @abstractmethod
    def summary(self) -> str:
        """Say the result in a line, or a line for each part."""

    def to_dataframe(self) -> "pd.DataFrame":
        """Result as a table.

        Lists of one and the same length become columns; a mapping of results becomes a row for each, named in the
        index; anything else becomes one row, with ``outer.inner`` as names of nested values.
        """
        return dataframe_of(self.to_dict())

    @final
    def __repr__(self) -> str:
        """Kind and summary, e.g. ``<Window [0.001, 1] (3.0 decades)>``."""
        return f"<{type(self).__name__} {self.summary()}>"

    @final
    def _repr_html_(self) -> str:
        """Table for notebooks: the summary, then every plain value."""
        return html_of(type(self).__name__, self.summary(), self.to_dict())


def dataframe_of(values: Mapping[str, Any]) -> "pd.DataFrame":
    """Table of plain values; see `Result.to_dataframe`.

    >>> dataframe_of({"k": 1.0, "window": {"lo": 0.1, "hi": 1.0}}).columns.tolist()
    ['k', 'window.lo', 'window.hi']
    """
    import pandas as pd

    if _columns(values):
        return pd.DataFrame(dict(values))
    if _rows(values):
        return pd.DataFrame([_flat(row) for row in values.values()], index=list(values))
    return pd.DataFrame([_flat(values)])


def flat_row(values: Mapping[str, Any], pairs: Sequence[str]) -> dict[str, Any]:
    """Plain values as one row: pairs of these names, nested ones too, become ``_low`` and ``_high``.

    >>> flat_row({"k": 1.0, "ci95": None, "best": {"window": [1, 2]}}, ["ci95", "window"])
    {'k': 1.0, 'ci95_low': None, 'ci95_high': None, 'best.window_low': 1, 'best.window_high': 2}
    """
    row: dict[str, Any] = {}
    for name, value in _flat(values).items():
        if name.rpartition(".")[2] in pairs:
            row[f"{name}_low"], row[f"{name}_high"] = (None, None) if value is None else value
        else:
            row[name] = value
    return row


def plain(value: Any) -> Any:
    """Value as JSON has it: results as mappings, arrays as lists, numbers that do not exist as None."""
    if isinstance(value, Result):
        return plain(value.to_dict())
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    # Arrays and numbers of NumPy and torch alike, neither of which is imported here.
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def html_of(kind: str, summary: str, values: Mapping[str, Any]) -> str:
    """Self-contained table, without colours of its own, so that it is readable on any background.

    >>> print(html_of("Window", "[1, 2]", {"lo": 1.0}))
    <table><caption><b>Window</b> [1, 2]</caption><tbody><tr><th scope="row">lo</th><td>1</td></tr></tbody></table>
    """
    caption = f"<caption><b>{escape(kind)}</b> {'<br/>'.join(escape(line) for line in summary.splitlines())}</caption>"
    if _rows(values) and not _columns(values):
        rows = {name: _flat(row) for name, row in values.items()}
        names = list(dict.fromkeys(name for row in rows.values() for name in row))
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ["", *names])
        body = "".join(
            f'<tr><th scope="row">{escape(str(row))}</th>'
            + "".join(f"<td>{_shown(cells.get(name))}</td>" for name in names)
            + "</tr>"
            for row, cells in rows.items()
        )
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{_shown(value)}</td></tr>' for name, value in _flat(values).items()
    )
    return f"<table>{caption}<tbody>{body}</tbody></table>"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _columns(values: Mapping[str, Any]) -> bool:
    """Whether these are columns of one table."""
    return bool(values) and all(_is_list(v) for v in values.values()) and len({len(v) for v in values.values()}) == 1


def _rows(values: Mapping[str, Any]) -> bool:
    """Whether these are results by name."""
    return bool(values) and all(isinstance(value, Mapping) for value in values.values())


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """One level, nested names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _shown(value: Any) -> str:
    """Value as a person reads it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{escape(str(name))}: {_shown(item)}" for name, item in value.items())
    if _is_list(value):
        shown = ", ".join(_shown(item) for item in value[:_MOST_SHOWN])
        return f"[{shown}, … {len(value)} in all]" if len(value) > _MOST_SHOWN else f"[{shown}]"
    return escape(str(value))

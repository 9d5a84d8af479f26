"""Table of an analysis: one row of plain values for each quantity, which every page and command reads."""

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from critlearn.comparison.agreement import Agreement
from critlearn.comparison.ladder.level import COMPOSITION, SHORT, SHORT_WITHOUT_MARGINS, sufficient_number
from critlearn.numerics.notation import estimate_parts, interval_text

COLUMNS: Final = (
    "status", "quantity", "layer", "kind", "n", "zeros", "exponent", "ci_low", "ci_high", "decades", "window_low",
    "window_high", "share", "verdict", "predicted_exponent", "prediction_distance", "agreement", "explained_by",
    "composition", "composition_error", "data", "data_error", "path", "path_error", "dependence", "dependence_error",
    "limit", "not_predicted",
)  # fmt: skip
"""Columns of the table.

``status`` of the certificate; ``n`` fluctuations, of which ``zeros`` are exact zeros; ``exponent`` on the window, with
its 95% interval; ``share`` of the sizes in the window; ``verdict``, the grade of the fit; ``predicted_exponent`` on the
same window; ``prediction_distance``, the largest difference of the predicted and the measured cumulative distribution;
``agreement``: ``agrees``, ``disagrees`` or ``cannot tell``; ``explained_by``, what the lowest level of the ladder that
agrees uses; ``composition``, ``data``, ``path``, ``dependence``, contributions to the exponent, with standard errors;
``limit``, the exact exponent far from the data, where the prediction has one; ``not_predicted``, the reason why there
is no prediction.

An ensemble has two more: ``seeds``, the number of networks that are pooled, and ``seed_sd``, the standard deviation of
their exponents on the window.
"""

_PAPER: Final = {
    "quantity": "Quantity",
    "n": "$n$",
    "exponent": "$k$",
    "interval": "95\\% interval",
    "decades": "Decades",
    "verdict": "Verdict",
    "predicted_exponent": "Predicted",
    "agreement": "Agreement",
    "seeds": "Networks",
    "seed_sd": "SD over networks",
}
"""Columns of a table in a paper, with their headings."""

_ESCAPES: Final = str.maketrans(
    {**{mark: f"\\{mark}" for mark in "_%&#${}"}, "\\": "\\textbackslash{}", "^": "\\^{}", "~": "\\~{}"}
)
"""Characters of names that LaTeX reads as commands."""


def row_of(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Row of one quantity of a record."""
    quantity = measured_quantities(record)[name]
    measured, predicted = quantity["measured"], quantity["predicted"] or {}
    # A fit without an exponent may have a window that was tried; nothing is claimed or compared on it.
    there = measured["exponent"] is not None
    interval, window = ((measured[key] if there else None) or (None, None) for key in ("ci95", "window"))
    row = {
        "status": record["equilibrium"]["status"],
        "quantity": name,
        "layer": quantity.get("layer"),
        "kind": quantity.get("kind"),
        "n": quantity["count"],
        "zeros": quantity.get("zeros"),
        "exponent": measured["exponent"],
        "ci_low": interval[0],
        "ci_high": interval[1],
        "decades": measured["decades"] if there else None,
        "window_low": window[0],
        "window_high": window[1],
        "share": measured.get("retained") if there else None,
        "verdict": measured["verdict"],
        "predicted_exponent": predicted.get("exponent_on_measured_window") if there else None,
        "prediction_distance": quantity.get("prediction_distance"),
        "agreement": outcome_of(quantity),
        "explained_by": _explained_by(quantity),
        **_anatomy(quantity),
        "limit": predicted.get("exact"),
        "not_predicted": quantity.get("not_predicted"),
    }
    pooled = quantity.get("ensemble")
    return row if pooled is None else {**row, "seeds": len(pooled["seeds"]), "seed_sd": pooled["sd"]}


def measured_quantities(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Quantities of a record, over samples and, where there was a descent, over time."""
    over_time = record.get("over_time")
    return {**record["quantities"], **over_time["quantities"]} if over_time else record["quantities"]


def outcome_of(quantity: Mapping[str, Any]) -> str | None:
    """Outcome of the comparison with the prediction; records of earlier versions say true or false.

    >>> outcome_of({"agreement": True}), outcome_of({"agreement": "cannot tell"})
    ('agrees', 'cannot tell')
    """
    agreement = quantity["agreement"]
    if isinstance(agreement, bool):
        return str(Agreement.AGREES if agreement else Agreement.DISAGREES)
    return None if agreement is None else str(agreement)


def _explained_by(quantity: Mapping[str, Any]) -> str | None:
    """What the lowest level that agrees uses, in two words; None if none does, or there is no ladder."""
    found = sufficient_number({level["level"]: level["agreement"] for level in quantity.get("ladder") or []})
    if found is None:
        return None
    with_margins = any(level["level"] == COMPOSITION for level in quantity["ladder"])
    return (SHORT if with_margins else SHORT_WITHOUT_MARGINS)[found]


def _anatomy(quantity: Mapping[str, Any]) -> dict[str, float | None]:
    """Columns of the contributions to an exponent."""
    anatomy = quantity.get("anatomy") or {}
    columns: dict[str, float | None] = {}
    for name in ("composition", "data", "path", "dependence"):
        part = anatomy.get(name) or {}
        columns |= {name: part.get("value"), f"{name}_error": part.get("standard_error")}
    return columns


def rows_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of all quantities of a record."""
    return [row_of(record, name) for name in measured_quantities(record)]


class AnalysisTable(pd.DataFrame):
    """Data frame with a row for each quantity, whose LaTeX is that of a paper's table."""

    @property
    def _constructor(self) -> "type[AnalysisTable]":
        """What a part of the table is: a table of the same kind."""
        return AnalysisTable

    def to_latex(self, buf: Any = None, **options: Any) -> Any:
        """LaTeX of the columns that a paper shows, with rules of the package booktabs.

        Parameters
        ----------
        buf
            File to write to; the text is returned if None.
        options
            Those of pandas, such as ``caption`` and ``label``.
        """
        rows = [row for _, row in self.iterrows()]
        there = {
            name: heading
            for name, heading in _PAPER.items()
            if ({"ci_low", "ci_high"} <= {*self.columns} and name == "interval") or name in self.columns
        }
        shown = pd.DataFrame({heading: [_cell(row, name) for row in rows] for name, heading in there.items()})
        return shown.to_latex(buf, **{"index": False, "escape": False, **options})


def table_of(record: Mapping[str, Any]) -> AnalysisTable:
    """Table of a record; numbers that do not exist are missing values."""
    rows = rows_of(record)
    return AnalysisTable(rows, columns=list(rows[0] if rows else COLUMNS))


def cell_text(value: Any) -> str:
    """Cell as a person reads it; a hyphen for what does not exist.

    >>> [cell_text(value) for value in (None, True, 12000, 0.12345, "power law")]
    ['-', 'yes', '12,000', '0.123', 'power law']
    """
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return "-"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, (int, np.integer)) else f"{value:.3g}"


def _cell(row: Any, name: str) -> str:
    """Text of a cell in a paper's table."""
    if name == "interval":
        return "--" if pd.isna(row["ci_low"]) else _signed(interval_text(row["ci_low"], row["ci_high"]))
    value = row[name]
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if pd.isna(value):
        return "--"
    if name in ("n", "seeds"):
        return f"{int(value):,}".replace(",", "\\,")
    if name == "exponent" and not pd.isna(row.get("ci_low")):
        return _signed(estimate_parts(value, (row["ci_low"], row["ci_high"]))[0])
    return f"{value:.1f}" if name == "decades" else _signed(f"{value:.2f}")


def _signed(text: str) -> str:
    """Numbers for LaTeX, whose minus is one in formulas alone.

    >>> _signed("[-0.50, 1.25]")
    '[$-0.50$, 1.25]'
    """
    return re.sub(r"-[\d.]+", r"$\g<0>$", text)

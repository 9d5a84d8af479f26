"""Anatomy of exponents as stairs: what composition, data, depth and dependence add up to, and how that changes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from critlearn.errors import InvalidInputError, unknown_name
from critlearn.figures.style import short_name

PARTS: Final = {"composition": "composition", "data": "data", "path": "depth", "dependence": "dependence"}
"""Parts of an exponent in the order in which they are added, with the words that figures and pages have for them."""

_TOGETHER: Final = "composition and data"
"""Word for the first part where there are no margins, and composition and data are one."""

_COLOURS: Final = {"composition": "#0072B2", "data": "#E69F00", "path": "#009E73", "dependence": "#CC79A7"}
"""Colours of Okabe and Ito, which colour-blind readers tell apart; the order of the steps is always the same, too."""

_MEASURED: Final = "black"

MOST_SHOWN: Final = 24
"""Quantities of a figure: with more, names and stairs are no longer seen at once."""

_MOST_IN_PRINT: Final = 10
"""Quantities on a page of paper: more are lower than their names and steps need."""

_WIDTH: Final = 5.4
"""Inches: as a page on a phone shows them, 356 pixels, without scrolling and with text that is read."""

_ROW: Final = 0.92
"""Inches of a quantity: its name, four steps and the measured exponent below them."""

_PANEL: Final = (3.2, 2.4)
"""Inches of a panel of the figure through training."""

_LETTERS: Final = 44
_PANEL_LETTERS: Final = 36
"""Letters of a name above stairs, and above a panel through training: longer ones leave the figure."""

_NAME_AT, _STEP, _BAR = 0.0, 0.15, 7.0
"""Height of the name in a row of height 1, height of a step, and points of the thickness of its bar."""


@runtime_checkable
class Recorded(Protocol):
    """What has a record, as every analysis does."""

    @property
    def record(self) -> Mapping[str, Any]:
        """All numbers as plain values."""


def explained(quantities: Mapping[str, Any]) -> dict[str, Any]:
    """Trainable variables that have an anatomy, from the input to the output.

    Parameters
    ----------
    quantities
        Entry ``quantities`` of a record, which goes from the output backwards.
    """
    kept = {
        name: entry
        for name, entry in quantities.items()
        if entry.get("anatomy") and entry["measured"]["exponent"] is not None and not entry.get("pool")
    }
    return dict(reversed(kept.items()))


def anatomy_figure(quantities: Mapping[str, Any], *, in_print: bool = False) -> Figure:
    """Stairs of all variables from the input to the output: the steps lead from 0 to the measured exponent.

    Parameters
    ----------
    quantities
        Entry ``quantities`` of a record; of more than 24 variables with an anatomy, the first ones are drawn.
    in_print
        Whether it is to stand on a page of paper, which takes 10.

    Raises
    ------
    InvalidInputError
        If no variable has an anatomy.
    """
    there = explained(quantities)
    shown = list(there.items())[: _MOST_IN_PRINT if in_print else MOST_SHOWN]
    if not shown:
        raise _nothing()
    figure = Figure(figsize=(_WIDTH, 1.1 + _ROW * len(shown)), layout="constrained")
    axes = figure.subplots()
    for row, (name, quantity) in enumerate(shown):
        _draw_stairs(axes, row, name, quantity)
    axes.axvline(0.0, color="0.4", lw=0.8, label="_zero")
    low, high = axes.get_xlim()
    # Room for the numbers beside the bars.
    axes.set_xlim(low - 0.12 * (high - low), high + 0.12 * (high - low))
    axes.set_ylim(len(shown) - 0.02, -0.14)
    axes.set_yticks([])
    part = f"\n(the first {len(shown)} of {len(there)} variables)" if len(there) > len(shown) else ""
    axes.set_xlabel(f"exponent k of p(|δq|) ~ |δq|⁻ᵏ{part}")
    axes.set_ylabel("input   →   output", rotation=270, labelpad=14)
    axes.grid(axis="x", alpha=0.3)
    _add_legend(figure, axes)
    return figure


def anatomy_through_training(
    analyses: Sequence[Recorded], times: Sequence[float], quantities: Sequence[str] | None = None
) -> Figure:
    """Parts of the exponents against time, a panel for each variable from the input to the output.

    Parameters
    ----------
    analyses
        Analyses of one network at different times of its training, made just now or loaded from the folders of runs.
    times
        Time of each, such as its epoch or step.
    quantities
        Names of the quantities; all variables that have an anatomy at some time by default, of more than 24 the first.

    Raises
    ------
    InvalidInputError
        If the numbers of analyses and times differ, a name is unknown, or there is no anatomy at any time.

    >>> anatomy_through_training([], [])
    Traceback (most recent call last):
    critlearn.errors.InvalidInputError: no variable has an anatomy: an exponent on a window and a prediction are needed
    """
    if len(analyses) != len(times):
        raise InvalidInputError(f"each analysis needs its time; got {len(analyses)} analyses and {len(times)} times")
    entries = [analysis.record["quantities"] for analysis in analyses]
    known = {name for entry in entries for name in entry}
    for name in quantities or ():
        if name not in known:
            raise unknown_name("quantity", name, known)
    # In the order of the network, also where a variable has no anatomy at first.
    there = dict.fromkeys(name for entry in entries for name in explained(entry))
    ordered = [name for entry in entries[:1] for name in reversed(list(entry)) if name in there]
    names = list(quantities or dict.fromkeys([*ordered, *there]))[:MOST_SHOWN]
    if not any(entry.get(name, {}).get("anatomy") for entry in entries for name in names):
        raise _nothing()
    columns = min(2 if len(names) < 7 else 4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(_PANEL[0] * columns, 0.5 + _PANEL[1] * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).flatten()
    order = np.argsort(np.asarray(times, dtype=np.float64), kind="stable")
    for axes, name in zip(panels, names, strict=False):
        held = [(float(times[place]), entries[place].get(name) or {}) for place in order]
        _draw_lines(axes, name, held)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes in panels[max(0, len(names) - columns) : len(names)]:
        # Also where the panel below is empty.
        axes.tick_params(labelbottom=True)
    figure.supxlabel("time of training")
    figure.supylabel("part of the exponent k")
    _add_legend(figure, panels[0])
    return figure


def steps_of(anatomy: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """Name, word and value of each part that there is, in the order in which they are added.

    >>> steps_of({"composition": None, "data": {"value": 0.5}, "path": {"value": 0.1}, "dependence": {"value": 0.0}})
    [('data', 'composition and data', 0.5), ('path', 'depth', 0.1), ('dependence', 'dependence', 0.0)]
    """
    joined = anatomy["composition"] is None
    return [
        (part, _TOGETHER if joined and part == "data" else word, float(anatomy[part]["value"]))
        for part, word in PARTS.items()
        if anatomy[part] is not None
    ]


def signed(value: float) -> str:
    """Number with a sign, as a step says it.

    >>> [signed(value) for value in (0.09, -0.456, 0.001)]
    ['+0.09', '−0.46', '0.00']
    """
    text = f"{abs(value):.2f}"
    return text if text == "0.00" else f"{'+' if value > 0 else '−'}{text}"


def _draw_stairs(axes: Axes, row: int, name: str, quantity: Mapping[str, Any]) -> None:
    """Draw one variable: its name, the steps below each other, and the measured exponent below the last."""
    top = row + _NAME_AT
    # Names begin at the left edge, whatever the numbers are.
    axes.text(
        0.01,
        top,
        short_name(name, _LETTERS),
        transform=axes.get_yaxis_transform(),
        fontsize=10,
        fontweight="bold",
        va="center",
    )
    reached = 0.0
    for number, (part, word, value) in enumerate(steps_of(quantity["anatomy"]), start=1):
        height, end = top + _STEP * number + 0.03, reached + value
        axes.plot(
            [reached, end], [height, height], color=_COLOURS[part], lw=_BAR, solid_capstyle="butt",
            label=f"_{name}: {word}",
        )  # fmt: skip
        axes.plot([end, end], [height, height + _STEP], color="0.55", lw=0.8, label=f"_{name}: {word}, end")
        _write_beside(
            axes,
            max(reached, end) if value >= 0 else min(reached, end),
            height,
            signed(value),
            value >= 0 or signed(value) == "0.00",
        )
        reached = end
    measured = quantity["measured"]
    height = top + _STEP * 5 + 0.03
    low, high = measured["ci95"] or (measured["exponent"],) * 2
    axes.plot([low, high], [height, height], color=_MEASURED, lw=1.6, label=f"_{name}: 95% interval")
    axes.plot([measured["exponent"]], [height], "D", color=_MEASURED, markersize=5, label=f"_{name}: measured")
    _write_beside(
        axes, max(high, measured["exponent"]), height, f"{measured['exponent']:.2f}".replace("-", "−"), True, bold=True
    )


def _write_beside(axes: Axes, x: float, height: float, text: str, right: bool, *, bold: bool = False) -> None:
    """Write a number beside the end of a bar, a little away from it."""
    axes.annotate(
        text, (x, height), (6 if right else -6, 0), textcoords="offset points", fontsize=9, va="center",
        ha="left" if right else "right", fontweight="bold" if bold else "normal",
    )  # fmt: skip


def _draw_lines(axes: Axes, name: str, held: Sequence[tuple[float, Mapping[str, Any]]]) -> None:
    """Draw the parts of one variable against time, and the measured exponent with its interval."""
    axes.set_title(short_name(name, _PANEL_LETTERS), fontsize=10)
    axes.axhline(0.0, color="0.4", lw=0.8, label="_zero")
    axes.grid(alpha=0.3)
    times = [time for time, _ in held]
    for part, word in PARTS.items():
        found = [((entry.get("anatomy") or {}).get(part) or {}) for _, entry in held]
        values = [contribution.get("value", math.nan) for contribution in found]
        axes.plot(times, values, "o-", color=_COLOURS[part], markersize=4, lw=1.5, label=f"_{name}: {word}")
    measured = [entry.get("measured") or {} for _, entry in held]
    exponents = [math.nan if fit.get("exponent") is None else fit["exponent"] for fit in measured]
    ends = [(math.nan, math.nan) if fit.get("ci95") is None else fit["ci95"] for fit in measured]
    for time, (low, high) in zip(times, ends, strict=True):
        axes.plot([time, time], [low, high], color=_MEASURED, lw=1.2, label=f"_{name}: 95% interval")
    axes.plot(times, exponents, "D-", color=_MEASURED, markersize=4, lw=1.8, label=f"_{name}: measured")


def _add_legend(figure: Figure, axes: Axes) -> None:
    """Add the legend above the data: the colours of the parts, and the mark of the measured exponent."""
    parts = [axes.plot([], [], color=_COLOURS[part], lw=_BAR, label=f"_{word}")[0] for part, word in PARTS.items()]
    measured = axes.plot([], [], "D-", color=_MEASURED, markersize=5, lw=1.6, label="_measured")[0]
    figure.legend(
        [*parts, measured], [*PARTS.values(), "measured, with 95% interval"], loc="outside upper left", ncols=3,
        frameon=False, fontsize=9,
    )  # fmt: skip


def _nothing() -> InvalidInputError:
    return InvalidInputError("no variable has an anatomy: an exponent on a window and a prediction are needed")

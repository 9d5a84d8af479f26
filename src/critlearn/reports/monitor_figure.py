"""Figure of a training that was followed: exponents and equilibrium, step by step."""

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from critlearn.monitoring import Distribution, MonitorRecord
from critlearn.reports.figures import FITTED, MEASURED, PREDICTED

_COLOURS: Final = (MEASURED, FITTED, PREDICTED, "#CC79A7", "#56B4E9", "#E69F00")
"""Of Okabe and Ito; a seventh distribution has the first again."""


def monitor_figure(record: MonitorRecord) -> Figure:
    """Exponents with 95% intervals and equilibrium fraction over the steps of training.

    An exponent is drawn full where the verdict is a power law and hollow where a window was found but the verdict is
    another; where there is no exponent there is no mark. The dotted line is the equilibrium fraction that the subsample
    would show without any drift.

    Parameters
    ----------
    record
        Of a monitor.
    """
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    names = list(dict.fromkeys(name for state in record.states for name in state.distributions))
    for number, name in enumerate(names):
        parts = [(state.step, state.distributions[name]) for state in record.states if name in state.distributions]
        _draw_exponents(upper, name, parts, _COLOURS[number % len(_COLOURS)])
    upper.set_ylabel("exponent k")
    if upper.get_legend_handles_labels()[0]:
        upper.legend(frameon=False, fontsize=9)
    measured = [state for state in record.states if state.equilibrium_fraction is not None]
    fractions = [state.equilibrium_fraction for state in measured]
    lower.plot([state.step for state in measured], fractions, ".-", color=MEASURED, label="measured")
    lower.axhline(record.fraction_without_drift, color="0.4", ls=":", label="without any drift")
    lower.set_ylim(-0.03, 1.03)
    lower.set_ylabel("share of variables\nat equilibrium")
    lower.set_xlabel("step of the optimiser")
    # Linear up to the first steps, so that the state before them has its place.
    lower.set_xscale("symlog", linthresh=1, linscale=0.3)
    lower.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    lower.legend(frameon=False, fontsize=9, loc="lower right")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure


def _draw_exponents(axes: Axes, name: str, parts: list[tuple[int, Distribution]], colour: str) -> None:
    """Exponents of one distribution: full marks for power laws, hollow ones for other verdicts."""
    label = f"{name} (over {parts[0][1].axis})"
    for is_law, face in ((True, colour), (False, "white")):
        rows = [
            (step, part.fit.exponent, *part.fit.ci95)
            for step, part in parts
            if part.fit is not None
            and part.fit.exponent is not None
            and part.fit.ci95 is not None
            and (part.fit.verdict == "power law") is is_law
        ]
        if not rows:
            continue
        step, exponent, low, high = np.array(rows, dtype=np.float64).T
        axes.errorbar(
            step, exponent, yerr=np.abs([exponent - low, high - exponent]), fmt="o", markersize=5, color=colour,
            markerfacecolor=face, capsize=2, label=label if is_law else f"{label}, no power law",
        )  # fmt: skip

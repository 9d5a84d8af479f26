"""Figures of a prediction alone: its density with caustics, and the two parts of its local exponent."""

import math
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from critlearn.prediction import Prediction
from critlearn.reports.figures import FITTED, MEASURED, PREDICTED, WINDOW, panel

_LN10: Final = math.log(10.0)


def predicted_density_figure(prediction: Prediction, sampled: np.ndarray | None = None) -> Figure:
    """Predicted density of ``|dq|`` on log-log axes, its window and caustics; draws as points beside it.

    Parameters
    ----------
    prediction
        The prediction.
    sampled
        ``ln|dq|`` of draws; those that are exactly zero (``-inf``) are left out.
    """
    figure, axes = panel("|δq|", "density p(|δq|)")
    distribution = prediction.distribution
    shown = distribution.mass > 0
    x = distribution.centres[shown]
    y = (distribution.log_density[shown] - x) / _LN10
    axes.plot(x / _LN10, y, color=PREDICTED, lw=1.8, label="predicted")
    if sampled is not None and np.isfinite(sampled).any():
        counts, edges = np.histogram(sampled[np.isfinite(sampled)], bins=80)
        centres, filled = 0.5 * (edges[1:] + edges[:-1]), counts > 0
        density = np.log(counts[filled] / (sampled.size * (edges[1] - edges[0])))
        axes.plot(
            centres[filled] / _LN10, (density - centres[filled]) / _LN10, ".", color=MEASURED, ms=5, label="sampled"
        )
    if prediction.window is not None:
        ends = (prediction.window.log_lo / _LN10, prediction.window.log_hi / _LN10)
        axes.axvspan(*ends, color=WINDOW, alpha=0.3, lw=0, label="window")
    for caustic in prediction.caustics:
        axes.axvline(caustic.log_delta / _LN10, color=FITTED, ls=":", lw=1.8, label=f"caustic ({caustic.kind})")
    axes.set_ylim(float(np.quantile(y, 0.005)) - 0.5, float(y.max()) + 0.5)
    axes.legend(frameon=False, fontsize=9)
    return figure


def parts_figure(prediction: Prediction) -> Figure:
    """Local exponent over ``|dq|``, with the intrinsic exponent kappa and the data term apart."""
    figure, axes = panel("|δq|", "exponent")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    distribution = prediction.distribution
    x = distribution.centres / _LN10
    local = distribution.local_exponent
    axes.plot(x, local, color=PREDICTED, lw=2, label="k = κ - data term")
    if distribution.intrinsic_exponent is not None and distribution.data_term is not None:
        axes.plot(x, distribution.intrinsic_exponent, "--", color=MEASURED, lw=1.6, label="κ (composition alone)")
        axes.plot(x, distribution.data_term, ":", color=FITTED, lw=1.8, label="data term")
    known = local[np.isfinite(local)]
    if known.size:
        low, high = np.quantile(known, [0.03, 0.97])
        axes.set_ylim(max(float(low), -3) - 1.2, min(float(high), 5) + 1.2)
    axes.legend(frameon=False, fontsize=9)
    return figure

"""Figures of a prediction alone: its density with caustics, and the two parts of its local exponent."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure

from critlearn.figures.style import (
    FITTED,
    LN10,
    MEASURED,
    PREDICTED,
    WINDOW,
    add_legend,
    label_as_numbers,
    log_log_axes,
    numbers,
)


def predicted_density_figure(
    prediction: Mapping[str, Any],
    curve: Mapping[str, Any],
    sampled: Float64[np.ndarray, " draw"] | None = None,
) -> Figure:
    """Predicted density of ``|dq|`` on log-log axes, its window and caustics; draws as points beside it.

    Parameters
    ----------
    prediction
        ``to_dict()`` of the prediction.
    curve
        Its ``curve()``.
    sampled
        ``ln|dq|`` of draws; those that are exactly zero (``-inf``) are left out.
    """
    figure, axes = log_log_axes("|δq|", "density p(|δq|)")
    x, log_density = numbers(curve["log_delta"]), numbers(curve["log_density"])
    shown = np.isfinite(log_density)
    # From the density of the logarithm to that of the size.
    x, y = x[shown], (log_density - x)[shown] / LN10
    axes.plot(x / LN10, y, color=PREDICTED, lw=1.8, label="predicted")
    if sampled is not None and np.isfinite(sampled).any():
        counts, edges = np.histogram(sampled[np.isfinite(sampled)], bins=80)
        centres, filled = 0.5 * (edges[1:] + edges[:-1]), counts > 0
        density = np.log(counts[filled] / (sampled.size * (edges[1] - edges[0])))
        axes.plot(
            centres[filled] / LN10, (density - centres[filled]) / LN10, ".", color=MEASURED, ms=5, label="sampled"
        )
    if prediction["log_window"] is not None:
        low, high = numbers(prediction["log_window"]) / LN10
        axes.axvspan(low, high, color=WINDOW, alpha=0.3, lw=0, label="window")
    for caustic in prediction["caustics"]:
        axes.axvline(caustic["log_delta"] / LN10, color=FITTED, ls=":", lw=1.8, label=f"caustic ({caustic['kind']})")
    # The very ends of the curve, where almost nothing is predicted, would stretch the axis.
    axes.set_ylim(float(np.quantile(y, 0.005)) - 0.5, float(y.max()) + 0.5)
    add_legend(axes)
    return figure


def parts_figure(curve: Mapping[str, Any]) -> Figure:
    """Local exponent over ``|dq|``, with the intrinsic exponent kappa and the data term apart.

    Parameters
    ----------
    curve
        ``curve()`` of a prediction.
    """
    figure, axes = log_log_axes("|δq|", "exponent")
    label_as_numbers(axes.yaxis)
    x = numbers(curve["log_delta"]) / LN10
    local, intrinsic, data_term = (numbers(curve[name]) for name in ("exponent", "kappa", "data_term"))
    axes.plot(x, local, color=PREDICTED, lw=2, label="k = κ - data term")
    # Unknown for products, which are known by their bins alone.
    if np.isfinite(intrinsic).any():
        axes.plot(x, intrinsic, "--", color=MEASURED, lw=1.6, label="κ (composition alone)")
        axes.plot(x, data_term, ":", color=FITTED, lw=1.8, label="data term")
    # The local exponent diverges at caustics: the central values decide the scale.
    known = local[np.isfinite(local)]
    if known.size:
        low, high = np.quantile(known, [0.03, 0.97])
        axes.set_ylim(max(float(low), -3) - 1.2, min(float(high), 5) + 1.2)
    add_legend(axes)
    return figure

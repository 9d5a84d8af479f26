"""Exponent of a predicted distribution, taken where and as the measured one was."""

import numpy as np

from critlearn.comparison.criteria import HIGH_QUANTILE, LEAST_PREDICTED_SHARE, LOW_QUANTILE
from critlearn.inference import cutoff_exponent_on
from critlearn.numerics.log_sketch import LogSketch
from critlearn.numerics.truncated_power_law import exponent_on
from critlearn.numerics.window import Window
from critlearn.prediction import PushForward


def predicted_on(law: PushForward | LogSketch, window: Window, *, cutoff: bool = False) -> float | None:
    """Exponent of a fit to a distribution of ``ln|delta|``; None if too little probability lies on the window.

    Parameters
    ----------
    law
        Predicted distribution, or counts.
    window
        Window of the measurement.
    cutoff
        Whether a law with cut-off was measured: one is then fitted, from the lower end of the window on.
    """
    if isinstance(law, LogSketch):
        edges, mass = law.edges, law.counts / max(1, law.counts.sum())
    else:
        # The fit of a predicted distribution takes bins of one width, as the sketches of measurements have.
        even = law.even()
        edges, mass = even.edges, even.mass
    centres = 0.5 * (edges[1:] + edges[:-1])
    inside = (centres > window.log_lo) & (centres < window.log_hi)
    if mass[inside].sum() < LEAST_PREDICTED_SHARE or np.count_nonzero(mass[inside]) < 3:
        return None
    return cutoff_exponent_on(edges, mass, window.log_lo) if cutoff else exponent_on(edges, mass, window)


def quantile_window(
    law: PushForward | LogSketch, low: float = LOW_QUANTILE, high: float = HIGH_QUANTILE
) -> Window | None:
    """Window between two quantiles of the fluctuations that are not zero; None if both lie in one bin.

    Quantiles are interpolated in the bins, so that the window moves smoothly with a law.
    """
    edges, mass = (law.edges, law.counts) if isinstance(law, LogSketch) else (law.edges, law.mass)
    below = np.concatenate([[0.0], np.cumsum(mass, dtype=np.float64)])
    ends = np.interp([low * below[-1], high * below[-1]], below, edges)
    return Window.from_logs(float(ends[0]), float(ends[1])) if ends[1] > ends[0] else None

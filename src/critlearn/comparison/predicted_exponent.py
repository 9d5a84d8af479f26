"""Exponent of a predicted distribution, taken where and as the measured one was."""

import numpy as np

from critlearn.comparison.criteria import LEAST_PREDICTED_SHARE
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

"""What a figure draws of a series, computed from its observables."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from critlearn.dynamics.observables import ActivityStatistics, AvalancheStatistics
from critlearn.dynamics.spectrum import power_spectrum
from critlearn.inference import PowerLawFit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS_PER_DECADE: Final = 20
"""Points of a decade of frequencies in the picture."""


def picture(
    parts: Mapping[str, tuple[ActivityStatistics, np.ndarray]], thresholds: Sequence[AvalancheStatistics]
) -> "Figure":
    """Draw a series and its surrogates, each by its name with its activity; the series comes first."""
    from critlearn.figures.dynamics import DrawnDynamics, dynamics_figure

    first = next(iter(parts.values()))[0]
    rows = {
        "sizes": [row.sizes for row in thresholds],
        "durations": [row.durations for row in thresholds],
        "waiting times": [row.waiting for row in thresholds],
    }
    drawn = DrawnDynamics(
        sizes={name: _density(part.avalanches.sizes) for name, (part, _) in parts.items()},
        durations={name: _density(part.avalanches.durations) for name, (part, _) in parts.items()},
        mean_size={
            name: (np.log(part.avalanches.mean_size.durations), np.log(part.avalanches.mean_size.sizes))
            for name, (part, _) in parts.items()
        },
        shapes=(first.shapes.durations, first.shapes.shapes),
        spectra={name: _thinned(*power_spectrum(activity)) for name, (_, activity) in parts.items()},
        thresholds=(
            [row.quantile for row in thresholds],
            {name: np.array([_interval(fit) for fit in fits]).reshape(-1, 3) for name, fits in rows.items()},
        ),
    )
    return dynamics_figure(drawn)


def _density(fit: PowerLawFit | None) -> tuple[np.ndarray, np.ndarray]:
    """Natural logarithms of values and their density."""
    if fit is None or fit.density is None:
        return np.zeros(0), np.zeros(0)
    return fit.density.log_delta, fit.density.log_density


def _interval(fit: PowerLawFit | None) -> tuple[float, float, float]:
    """Exponent and ends of its interval; NaN where there is none."""
    if fit is None or fit.exponent is None or fit.ci95_total is None:
        return np.nan, np.nan, np.nan
    return fit.exponent, *fit.ci95_total


def _thinned(frequency: np.ndarray, power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spectrum averaged in bins of logarithms: the eye sees no more."""
    index = np.round(_BINS_PER_DECADE * np.log10(frequency / frequency[0])).astype(np.int64)
    number = np.bincount(index)
    frequency, power = np.bincount(index, frequency), np.bincount(index, power)
    # Beside empty bins, those of a trend without noise have no power, and no logarithm.
    kept = (number > 0) & (power > 0)
    return frequency[kept] / number[kept], power[kept] / number[kept]

"""Control series: what is left of a finding without the order in time, or without anything but the spectrum."""

from typing import Any

import numpy as np
from jaxtyping import Float64

from critlearn.dynamics.avalanches import as_activity
from critlearn.numerics.validation import check_seed


def shuffled(signal: Any, seed: int = 0) -> Float64[np.ndarray, " time"]:
    """Same values in a random order: every correlation in time is gone, the distribution is as it was.

    Raises
    ------
    InvalidInputError
        If the signal is not a finite one over time that changes, or the seed not an integer from 0 on.
    """
    check_seed(seed)
    return np.random.default_rng(seed).permutation(as_activity(signal))


def phase_randomised(signal: Any, seed: int = 0) -> Float64[np.ndarray, " time"]:
    """Gaussian signal of the same mean and power spectrum: every correlation of higher order is gone.

    Source: Theiler et al. 1992.

    Raises
    ------
    InvalidInputError
        As `shuffled`.
    """
    check_seed(seed)
    values = as_activity(signal)
    spectrum = np.fft.rfft(values)
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, spectrum.size)
    # The mean, and of an even number of steps the highest frequency, are real.
    phases[0] = 0.0
    if values.size % 2 == 0:
        phases[-1] = 0.0
    turned = spectrum * np.exp(1j * phases)
    return np.fft.irfft(turned, values.size)

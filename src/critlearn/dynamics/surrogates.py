"""Control series: what is left of a finding without the order in time, or without anything but the spectrum."""

import numpy as np
from jaxtyping import Float64


def shuffled(signal: np.ndarray, seed: int = 0) -> np.ndarray:
    """Same values in a random order: every correlation in time is gone, the distribution is as it was."""
    return np.random.default_rng(seed).permutation(signal)


def phase_randomised(signal: np.ndarray, seed: int = 0) -> Float64[np.ndarray, " time"]:
    """Gaussian signal of the same mean and power spectrum: every correlation of higher order is gone.

    Source: Theiler et al. 1992.
    """
    spectrum = np.fft.rfft(signal)
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, spectrum.size)
    # The mean, and of an even number of steps the highest frequency, are real.
    phases[0] = 0.0
    if signal.size % 2 == 0:
        phases[-1] = 0.0
    turned = spectrum * np.exp(1j * phases)
    return np.fft.irfft(turned, signal.size)

"""Series whose statistics are known from theory or from the literature, simulated without critlearn."""

import numba
import numpy as np
import scipy.signal
import scipy.special

KESTEN = {0.5: 2.904, 0.7: 1.871, 0.9: 1.294}
"""Step of one-sample gradient descent on a line, and the alpha that solves ``E|1 - eta x^2|^alpha = 1``."""


@numba.njit(cache=True)
def _linear(factor: np.ndarray, noise: np.ndarray) -> np.ndarray:
    found = np.empty(factor.size)
    value = 0.0
    for step in range(factor.size):
        value = factor[step] * value + noise[step]
        found[step] = value
    return found


def kesten(eta: float, steps: int, seed: int) -> np.ndarray:
    """Distance to the solution of one-sample gradient descent on a line: a tail of density exponent 1 + alpha."""
    generator = np.random.default_rng([seed, round(1000 * eta)])
    x, y = generator.standard_normal((2, steps + 1000))
    return _linear(1 - eta * x**2, eta * x * y)[1000:]


@numba.njit(cache=True)
def avalanche_by_avalanche(ratio: float, steps: int, seed: int, most: int) -> np.ndarray:
    """Activity of a branching process with Poisson offspring that is begun anew, by one unit, when it has died out.

    At ratio 1: sizes 3/2 (Borel), durations 2, gamma 2.
    """
    np.random.seed(seed)  # noqa: NPY002 (Numba has no generators of its own that are as fast)
    found = np.zeros(steps)
    active, size = 1, 0
    for step in range(steps):
        found[step] = active
        if active == 0:
            active, size = 1, 0
        else:
            size += active
            active = np.random.poisson(ratio * active) if size < most else 0  # noqa: NPY002
    return found


def driven_branching(ratio: float, rate: float, steps: int, seed: int) -> np.ndarray:
    """Activity with a constant Poisson drive, of stationary mean ``rate``: ``r_k = ratio^k`` where all is seen."""
    generator = np.random.default_rng(seed)
    found = np.zeros(steps, dtype=np.int64)
    active = round(rate)
    for step in range(steps):
        active = generator.poisson(ratio * active + (1 - ratio) * rate)
        found[step] = active
    return found


def ornstein_uhlenbeck(time: float, steps: int, seed: int) -> np.ndarray:
    """Samples at integer times: autocorrelation ``phi^t`` with ``phi = exp(-1 / time)``."""
    noise = np.random.default_rng(seed).standard_normal(steps + round(20 * time))
    return scipy.signal.lfilter([1.0], [1.0, -np.exp(-1 / time)], noise)[round(20 * time) :]


def common_rate(time: float, steps: int, seed: int) -> np.ndarray:
    """Counts of independent units with one rate that fluctuates: not critical, though avalanches look it.

    Source: Touboul and Destexhe 2017.
    """
    rate = ornstein_uhlenbeck(time, steps, seed)
    return np.random.default_rng([7, seed]).poisson(np.exp(2 * rate / rate.std() - 3)).astype(np.float64)


def renewals(steps: int, seed: int) -> np.ndarray:
    """Stretches of a constant height, whose lengths have a density exponent of 2, with pauses between: gamma is 1."""
    generator = np.random.default_rng([8, seed])
    found, at = np.zeros(steps), 0
    while at < steps:
        length = int(np.ceil(1 / (1 - generator.random())))
        found[at : at + length] = 1
        at += length + int(generator.integers(1, 5))
    return found


def reflected_walk(drift: float, steps: int, seed: int) -> np.ndarray:
    """Random walk with a drift towards the wall that it cannot pass (Lindley)."""
    total = np.cumsum(np.random.default_rng([9, seed]).normal(drift, 1.0, steps))
    return total - np.minimum(np.minimum.accumulate(total), 0.0)


def falling_loss(steps: int, seed: int) -> np.ndarray:
    """Loss of a training that goes on falling, with the scatter of mini-batches."""
    noise = np.abs(np.random.default_rng([10, seed]).standard_normal(steps))
    return 2 / np.sqrt(1 + np.arange(steps)) + 0.2 * noise


def fractional_noise(hurst: float, steps: int, seed: int) -> np.ndarray:
    """Fractional Gaussian noise, exact by circulant embedding: spectral slope ``2 H - 1``."""
    lags = np.arange(steps + 1.0)
    rho = 0.5 * (np.abs(lags - 1) ** (2 * hurst) - 2 * lags ** (2 * hurst) + (lags + 1) ** (2 * hurst))
    eigenvalues = np.fft.fft(np.concatenate([rho, rho[-2:0:-1]])).real
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal(2 * steps) + 1j * generator.standard_normal(2 * steps)
    return np.fft.fft(np.sqrt(np.maximum(eigenvalues, 0) / (2 * steps)) * noise).real[:steps]


@numba.njit(cache=True)
def directed_percolation(probability: float, avalanches: int, longest: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and durations of bond directed percolation in 1 + 1 dimensions from single sites.

    Critical at p = 0.644700185; tau_S = 1.108, tau_T = 1.159, gamma = 1.477 (Munoz et al. 1999). A size or duration of
    0 is one that was cut at the longest.
    """
    np.random.seed(seed)  # noqa: NPY002
    sizes, durations = np.zeros(avalanches), np.zeros(avalanches)
    width = 2 * longest + 3
    for number in range(avalanches):
        now, then = np.zeros(width, dtype=np.bool_), np.zeros(width, dtype=np.bool_)
        low = high = longest + 1
        now[low] = True
        size, step, alive = 0, 0, True
        while alive and step < longest:
            alive = False
            step += 1
            first, last = width, 0
            for site in range(low, high + 1):
                if now[site]:
                    size += 1
                    now[site] = False
                    for there in (site - 1, site + 1):
                        if np.random.random() < probability:  # noqa: NPY002
                            then[there] = True
                            alive = True
                            first, last = min(first, there), max(last, there)
            now, then = then, now
            low, high = first, last
        if not alive:
            sizes[number], durations[number] = size, step
    return sizes, durations


def curie_weiss(size: int, temperature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of |m| and its variance times the size, of spins that all couple to all, by exact sums.

    Critical at 1; ``<|m|> = N^(-1/4) F((T - 1) N^(1/2))``.
    """
    ups = np.arange(size + 1.0)
    magnetisation = 2 * ups / size - 1
    entropy = -(scipy.special.gammaln(ups + 1) + scipy.special.gammaln(size - ups + 1))
    logs = entropy + size * magnetisation**2 / (2 * temperature[:, None])
    weight = np.exp(logs - logs.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    mean = weight @ np.abs(magnetisation)
    return mean, size * (weight @ magnetisation**2 - mean**2)

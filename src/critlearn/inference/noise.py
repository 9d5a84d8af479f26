"""Power law seen through additive noise: ``x = delta + noise``, where sizes near the noise are no longer the law's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy.optimize
import scipy.special
from jaxtyping import Float64

from critlearn.errors import InvalidInputError
from critlearn.inference.counts.cells import Cells
from critlearn.inference.counts.raw_values import CHUNK, as_values, as_window
from critlearn.inference.criteria import FARTHEST_NOISE, FEWEST, LARGEST_NOISY_ERROR, LEAST_NOISE_INFORMATION
from critlearn.numerics.notation import law_text
from critlearn.numerics.validation import as_number
from critlearn.numerics.window import Window
from critlearn.results import Result

_CELLS_PER_DECADE: Final = 64
"""Cells of the law: each as wide as three bins of a sketch, over which the mean of the noise is exact."""

_MOST_CELLS: Final = 320
"""Cells inside the window at most: the noise is a matrix over them."""

_MOST_OUTSIDE: Final = 100
"""Cells on either side of the window at most, for values that noise moves out of it."""

_STEP: Final = 1e-3
"""Step of the second derivatives, in the exponent and in the logarithm of the noise scale."""


@dataclass(frozen=True, repr=False)
class NoisyFit(Result):
    """Exponent of a power law under Gaussian noise.

    Parameters
    ----------
    exponent, standard_error, ci95
        ``k`` of the law before the noise; errors from the observed information, for independent values.
    noise_scale, noise_scale_error
        Standard deviation of the noise; the error is None where the scale was not fitted, or the noise is too small to
        be seen.
    window
        Where the law holds before the noise.
    n
        Values that entered.
    log_likelihood
        Sum over the values of ``ln p(u)``, as `PowerLawFit.log_likelihood`, on the cells around the window.
    """

    exponent: float
    standard_error: float
    ci95: tuple[float, float]
    noise_scale: float
    noise_scale_error: float | None
    window: Window
    n: int
    log_likelihood: float

    def to_dict(self) -> dict[str, Any]:
        """Exponent, noise and window as plain values."""
        return {
            "exponent": self.exponent,
            "stderr": self.standard_error,
            "ci95": list(self.ci95),
            "noise_scale": self.noise_scale,
            "noise_scale_stderr": self.noise_scale_error,
            "window": [self.window.lo, self.window.hi],
            "n": self.n,
            "log_likelihood": self.log_likelihood,
        }

    def summary(self) -> str:
        """One line, e.g. ``delta^-1.50 [1.48, 1.52] on [0.01, 1] (2.0 decades) under noise of 0.05``."""
        law = law_text("delta", self.exponent, self.ci95)
        return f"{law} on {self.window.summary()} under noise of {self.noise_scale:.3g}"


def fit_power_law_with_noise(
    data: Any, window: Window | Sequence[float], *, noise_scale: float | None = None
) -> NoisyFit:
    """Fit ``|delta + noise|`` with ``p(delta) ~ delta^-k`` on a window and Gaussian noise of known or fitted scale.

    The probability of a cell is the sum over the law's cells of the mean probability that noise moves ``delta`` there.

    Parameters
    ----------
    data
        Numbers, of either sign; exact zeros are left out.
    window
        Where the law before the noise holds; it must contain all fluctuations, those that noise moves out excepted.
    noise_scale
        Standard deviation of the noise; fitted if None.

    Raises
    ------
    InvalidInputError
        If there are fewer than 50 values other than zero, one is not finite, the noise scale is not positive, values
        lie beyond the window by more than noise explains, or they do not resolve an exponent.
    """
    values = np.abs(as_values(data)[0])
    values = values[values != 0]
    finite = int(np.isfinite(values).sum())
    if values.size < FEWEST or finite < values.size:
        raise InvalidInputError(
            f"a fit with noise needs {FEWEST} values other than zero, all finite; got {values.size}, {finite} finite"
        )
    if noise_scale is not None and not 0 < as_number(noise_scale) < math.inf:
        raise InvalidInputError(f"the noise scale must be a positive number; got {noise_scale!r}")
    law = as_window(window)
    if law is None:
        raise InvalidInputError("a fit with noise needs the window on which the law holds")
    model = _Model.of(values, law)
    free = 1 if noise_scale is not None else 2
    # Two starts, for noise that shows and for noise that hardly does: from a scale far too large no search comes down.
    scales = [noise_scale] if noise_scale is not None else [float(s) for s in np.quantile(values, (0.1, 0.001))]

    def loss(parameters: np.ndarray) -> float:
        k, log_scale = (*parameters, math.log(scales[0]))[:2] if free == 1 else parameters
        return -model.log_likelihood(float(k), float(log_scale))

    options: Any = {"xatol": 1e-6, "fatol": 1e-6, "maxiter": 600}
    searches = [
        scipy.optimize.minimize(loss, [1.0, math.log(scale)][:free], method="Nelder-Mead", options=options)
        for scale in scales
    ]
    search = min(searches, key=lambda found: float(found.fun))
    k = float(search.x[0])
    scale = math.exp(float(search.x[1])) if free == 2 else float(noise_scale or 0.0)
    _refuse_beyond(values, law, scale)
    information = _hessian(loss, search.x)
    # Noise far below the smallest values is as good as none, of whatever scale.
    unseen = free == 2 and abs(information[1, 1]) < LEAST_NOISE_INFORMATION
    covariance = _covariance(information[:1, :1] if unseen else information)
    if covariance is None or not search.success or covariance[0, 0] > LARGEST_NOISY_ERROR**2:
        raise InvalidInputError(
            f"the values do not resolve an exponent on {law.summary()} under noise of {scale:.3g}: "
            "what is seen may be noise alone, or the law holds on another window"
        )
    error = float(covariance[0, 0] ** 0.5)
    half = float(scipy.special.ndtri(0.975)) * error
    scale_error = scale * float(covariance[1, 1] ** 0.5) if free == 2 and not unseen else None
    return NoisyFit(k, error, (k - half, k + half), scale, scale_error, law, int(values.size), -float(search.fun))


@dataclass(frozen=True, eq=False)
class _Model:
    """Likelihood of a power law under noise: cells of the law, which are a part of those of the data, and counts."""

    law: Cells
    cells: Cells
    counts: Float64[np.ndarray, " cell"]

    @classmethod
    def of(cls, values: np.ndarray, window: Window) -> "_Model":
        """Model on one grid for law and data, so that a fluctuation that noise does not move stays in its cell."""
        inside = min(max(round(window.decades * _CELLS_PER_DECADE), 64), _MOST_CELLS)
        width = (window.log_hi - window.log_lo) / inside
        low, high = math.log(float(values.min())), math.log(float(values.max()))
        before = min(max(math.ceil((window.log_lo - low) / width), 0), _MOST_OUTSIDE)
        after = min(max(math.ceil((high - window.log_hi) / width), 0), _MOST_OUTSIDE)
        cells = Cells.equal(window.log_lo - before * width, width, before + inside + after)
        counts = np.zeros(len(cells) + 2)
        for at in range(0, values.size, CHUNK):
            index = np.searchsorted(cells.edges, np.log(values[at : at + CHUNK].astype(np.float64)), side="right")
            counts += np.bincount(index, minlength=len(counts))
        # What lies beyond the cells is left out, and the law conditioned on them.
        return cls(cells.part(before, before + inside), cells, counts[1:-1])

    def log_likelihood(self, k: float, log_scale: float) -> float:
        """Logarithm of the likelihood at one exponent and noise scale."""
        edges, reach = np.exp(self.law.edges), self.law.edges - self.law.edges[-1]
        theta, width = 1 - k, float(self.law.edges[1] - self.law.edges[0])
        # All cells of the law are equal in ln delta: their probabilities are a geometric series.
        log_weights = theta * reach[:-1] + 0.5 * theta * width
        weights = np.exp(log_weights - log_weights.max())
        scale = math.exp(min(max(log_scale, -700.0), 700.0))
        at = np.exp(self.cells.edges)[:, None]
        # P(|delta + noise| < edge), by differences of the two sides.
        below = _mean_normal(at, edges, scale) - _mean_normal(-at, edges, scale)
        masses = np.maximum(np.diff(below, axis=0) @ weights, 1e-300)
        return float(self.counts @ np.log(masses / masses.sum() / self.cells.measure))


def _mean_normal(
    at: Float64[np.ndarray, "edge 1"], bounds: Float64[np.ndarray, " bound"], scale: float
) -> Float64[np.ndarray, "edge cell"]:
    """Mean of ``Phi((at - delta) / scale)`` over ``delta`` uniform between neighbouring bounds.

    A sum over nodes would miss the edges of the window where the noise is smaller than the distance of the nodes.
    """
    z = (at - bounds) / scale
    integral = z * scipy.special.ndtr(z) + np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    step = z[:, :-1] - z[:, 1:]
    middle = scipy.special.ndtr(0.5 * (z[:, :-1] + z[:, 1:]))
    # Differences of nearly equal integrals say less than the middle.
    return np.where(step > 1e-3, (integral[:, :-1] - integral[:, 1:]) / np.maximum(step, 1e-300), middle)


def _refuse_beyond(values: np.ndarray, law: Window, scale: float) -> None:
    """Raise if values lie above the window by more than noise explains; below it there may be any."""
    beyond = int((values > law.hi + FARTHEST_NOISE * scale).sum())
    if beyond:
        raise InvalidInputError(
            f"{beyond} of {values.size} values lie above {law.summary()} by more than noise of {scale:.3g} explains: "
            "the window must contain all fluctuations"
        )


def _covariance(hessian: np.ndarray) -> np.ndarray | None:
    """Inverse of the observed information; None where it is no maximum."""
    try:
        np.linalg.cholesky(hessian)
    except np.linalg.LinAlgError:
        return None
    return np.linalg.inv(hessian)


def _hessian(loss: Any, at: np.ndarray) -> np.ndarray:
    """Second derivatives by central differences."""
    size = len(at)
    hessian = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            step_i, step_j = np.eye(size)[i] * _STEP, np.eye(size)[j] * _STEP
            corners = loss(at + step_i + step_j) - loss(at + step_i - step_j)
            corners += loss(at - step_i - step_j) - loss(at - step_i + step_j)
            hessian[i, j] = corners / (4 * _STEP**2)
    return hessian

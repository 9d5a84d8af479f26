"""Tests between exponents: measured against predicted within a margin, and two measurements against each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from critlearn.errors import InvalidInputError
from critlearn.inference.criteria import MARGIN, TEST_LEVEL
from critlearn.inference.result import PowerLawFit
from critlearn.numerics.validation import as_number
from critlearn.results import Result


@dataclass(frozen=True, repr=False)
class ExponentDifference(Result):
    """Difference between exponents, with the tests that it is zero and that it is within a margin.

    Parameters
    ----------
    difference, standard_error
        Measured less expected (first less second).
    ci90, ci95
        90% and 95% intervals of the difference; equivalence at the 5% level means that the 90% one lies within the
        margin.
    margin
        Largest difference that counts as none in practice.
    p_different
        Two-sided p-value of a difference of zero: small values say that the exponents differ.
    p_equivalent
        p-value of a difference beyond the margin, from two one-sided tests (Schuirmann, J. Pharmacokin. Biopharm. 15,
        657, 1987): small values say that the exponents are equal in practice.
    fits
        Number of measurements that were pooled.
    between_variance
        Variance of the true exponent between the pooled measurements.
    """

    difference: float
    standard_error: float
    ci90: tuple[float, float]
    ci95: tuple[float, float]
    margin: float
    p_different: float
    p_equivalent: float
    fits: int
    between_variance: float

    @property
    def equivalent(self) -> bool:
        """Whether the exponents are equal within the margin, at the 5% level."""
        return self.p_equivalent < TEST_LEVEL

    def to_dict(self) -> dict[str, Any]:
        """Difference, intervals and tests as plain values."""
        return {
            "difference": self.difference,
            "stderr": self.standard_error,
            "ci90": list(self.ci90),
            "ci95": list(self.ci95),
            "margin": self.margin,
            "p_different": self.p_different,
            "p_equivalent": self.p_equivalent,
            "equivalent": self.equivalent,
            "fits": self.fits,
            "between_variance": self.between_variance,
        }

    def summary(self) -> str:
        """One sentence: the difference, its interval, and whether the exponents are equal.

        >>> compare_exponents([(1.02, 0.01)], 1.0).summary()
        'difference +0.020 [+0.000, +0.040]: equal within 0.05 (p = 0.0013)'
        """
        low, high = self.ci95
        if self.equivalent:
            word = f"equal within {self.margin:g} (p = {self.p_equivalent:.2g})"
        elif self.p_different < TEST_LEVEL:
            word = f"different (p = {self.p_different:.2g})"
        else:
            word = "undecided"
        return f"difference {self.difference:+.3f} [{low:+.3f}, {high:+.3f}]: {word}"


def compare_with_prediction(
    fits: PowerLawFit | Sequence[PowerLawFit], predicted: float | Sequence[float], margin: float = MARGIN
) -> ExponentDifference:
    """Compare one measurement, or those of several seeds, with a predicted exponent, or one for each.

    Several are pooled with random effects (DerSimonian and Laird, Controlled Clinical Trials 7, 177, 1986): what varies
    between seeds beyond the errors widens the error of the mean. Where few seeds have errors that differ tenfold, no
    pooling knows how much they vary: of three, 95% intervals then cover 77%.

    Raises
    ------
    InvalidInputError
        If a fit has no exponent, or the numbers of fits and of predictions differ.
    """
    return compare_exponents([_measured(fit) for fit in _listed(fits)], predicted, margin)


def compare_fits(first: PowerLawFit, second: PowerLawFit, margin: float = MARGIN) -> ExponentDifference:
    """Difference between two independent measurements.

    Raises
    ------
    InvalidInputError
        If one of them has no exponent.
    """
    (k1, e1), (k2, e2) = _measured(first), _measured(second)
    return compare_exponents([(k1, float(np.hypot(e1, e2)))], k2, margin)


def compare_exponents(
    measured: Sequence[tuple[float, float]], predicted: float | Sequence[float], margin: float = MARGIN
) -> ExponentDifference:
    """Compare measured exponents, as pairs of value and standard error, with predicted ones.

    Raises
    ------
    InvalidInputError
        If there are none, an error or the margin is not positive, or the number of predictions is another.
    """
    try:
        values = np.array(measured, dtype=np.float64).reshape(-1, 2)
        expected = np.atleast_1d(np.asarray(predicted, dtype=np.float64))
    except (TypeError, ValueError):
        raise InvalidInputError(
            f"exponents are given as pairs of value and standard error, predictions as numbers; got {measured!r} and "
            f"{predicted!r}"
        ) from None
    if not len(values) or len(expected) not in (1, len(values)):
        raise InvalidInputError(f"{len(values)} exponents need one prediction or as many; got {len(expected)}")
    if not (
        as_number(margin) > 0 and (values[:, 1] > 0).all() and np.isfinite(values).all() and np.isfinite(expected).all()
    ):
        raise InvalidInputError("exponents and predictions must be finite, standard errors and the margin positive")
    difference, variance = values[:, 0] - expected, values[:, 1] ** 2
    between = _between_variance(difference, variance)
    weight = 1 / (variance + between)
    mean, error = float(weight @ difference / weight.sum()), float(weight.sum() ** -0.5)
    # The variance between several fits is itself estimated from them: Student's t, not the normal law.
    freedom = len(values) - 1 if len(values) > 1 else np.inf
    half = {level: float(_quantile(freedom, level)) * error for level in (0.95, 0.975)}
    # Of the two one-sided tests of equivalence, the one at the nearer end of the margin has the larger p-value.
    return ExponentDifference(
        difference=mean,
        standard_error=error,
        ci90=(mean - half[0.95], mean + half[0.95]),
        ci95=(mean - half[0.975], mean + half[0.975]),
        margin=margin,
        p_different=2 * _tail(freedom, abs(mean) / error),
        p_equivalent=_tail(freedom, (margin - abs(mean)) / error),
        fits=len(values),
        between_variance=between,
    )


def _listed(fits: PowerLawFit | Sequence[PowerLawFit]) -> Sequence[PowerLawFit]:
    return [fits] if isinstance(fits, PowerLawFit) else fits


def _measured(fit: PowerLawFit) -> tuple[float, float]:
    if fit.exponent is None or fit.standard_error is None:
        raise InvalidInputError(f"a fit without an exponent cannot be compared ({fit.grade}: {fit.reason})")
    return fit.exponent, fit.standard_error


def _between_variance(difference: np.ndarray, variance: np.ndarray) -> float:
    """Variance of the true exponent between measurements: moment estimate of DerSimonian and Laird."""
    if len(difference) < 2:
        return 0.0
    weight = 1 / variance
    mean = weight @ difference / weight.sum()
    heterogeneity = float(weight @ (difference - mean) ** 2)
    scale = float(weight.sum() - (weight**2).sum() / weight.sum())
    return max(0.0, (heterogeneity - (len(difference) - 1)) / scale)


def _quantile(freedom: float, probability: float) -> float:
    if np.isinf(freedom):
        return float(scipy.special.ndtri(probability))
    return float(scipy.special.stdtrit(freedom, probability))


def _tail(freedom: float, value: float) -> float:
    """Probability above a value."""
    return float(scipy.special.ndtr(-value) if np.isinf(freedom) else scipy.special.stdtr(freedom, -value))

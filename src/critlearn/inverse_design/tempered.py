"""Tempered softmax with its matching loss, and the bi-tempered logistic loss: many classes, heavy or bounded tails.

Source: Amid, Warmuth, Anil and Koren, Robust bi-tempered logistic loss based on Bregman divergences (2019).
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from critlearn.compositions.softmax.cross_entropy import _checked, _library
from critlearn.compositions.symbolic.evaluation import exp
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of
from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.errors import InvalidInputError
from critlearn.inverse_design.margin_loss import exact_fraction
from critlearn.inverse_design.q_exponential import log_q_exponential

_STEPS: Final = 200


def log_tempered_softmax(y: Array, temperature: float) -> Array:
    """``ln p``, ``p_i = e_q(y_i - nu)`` with ``nu`` such that they sum to 1; shape (batch, classes).

    For q = 1 the ordinary softmax. ``nu`` is found by bisection in ``[max y, max y + width]``: there the sum falls
    from 1 or more to 1 or less. For q < 1 classes far behind get exactly zero.
    """
    library = _library(y)
    q = temperature
    top = y.max(1)[0][:, None] if library is not np else y.max(axis=1, keepdims=True)
    if q == 1.0:
        shifted = y - top
        total = library.log(library.exp(shifted).sum(1))[:, None]
        return shifted - total
    shifted = y - top
    classes = y.shape[1]
    # At nu = 0 the largest class alone has probability 1; at nu = -ln_q(1/classes) none has more than 1/classes.
    width = -math.expm1(-(1.0 - q) * math.log(classes)) / (1.0 - q)
    low, high = 0.0 * top, 0.0 * top + width
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        if bool(((middle <= low) | (middle >= high)).all()):
            break
        total = library.exp(log_q_exponential(shifted - middle, q)).sum(1)[:, None]
        above = total > 1.0
        low, high = library.where(above, middle, low), library.where(above, high, middle)
    return log_q_exponential(shifted - 0.5 * (low + high), q)


@dataclass(frozen=True)
class BiTemperedLogistic:
    """Bi-tempered logistic loss of temperatures ``t1``, ``t2``: Bregman loss of ``ln_t1`` of the tempered softmax.

    ``H = -ln_t1(p_c) - (1 - sum_i p_i^(2 - t1)) / (2 - t1)`` with ``p`` the tempered softmax of temperature ``t2`` and
    ``c`` the class. With ``t1 = t2`` it is the matching loss of the tempered softmax, with output error
    ``p - [i = c]``; with both 1, cross-entropy.

    Parameters
    ----------
    t1
        Temperature of the logarithm, in [0, 2).
    t2
        Temperature of the softmax, in (0, 3].

    Raises
    ------
    InvalidInputError
        If a temperature is out of range, or ``t1 > t2``: the loss would not fall towards its target.

    Notes
    -----
    Output error, in probabilities: ``dH/dy_j = sum_i (p_i - [i = c]) p_i^(-t1) dp_i/dy_j`` with
    ``dp_i/dy_j = p_i^t2 ([i = j] - E_j)`` and the escort ``E_j = p_j^t2 / sum_k p_k^t2``. Far out the wrong classes
    have ``p_i ~ m^(-1/(t2 - 1))`` and the error decays as ``p^(1 + t2 - t1)``, whence the exponent
    ``1 + (t2 - 1)/(1 + t2 - t1)``.
    """

    t1: float
    t2: float

    def __post_init__(self) -> None:
        """Refuse temperatures without a loss."""
        # Below t1 = 0 another term of the error would decay more slowly, and the exponent be another.
        if not (0 <= self.t1 < 2 and 0 < self.t2 <= 3 and self.t1 <= self.t2):
            raise InvalidInputError(
                f"bi-tempered logistic needs 0 <= t1 < 2, 0 < t2 <= 3 and t1 <= t2; got t1 = {self.t1}, t2 = {self.t2}"
            )

    @property
    def name(self) -> str:
        """Name such as ``bi-tempered:0.8,1.3``."""
        return f"bi-tempered:{self.t1:g},{self.t2:g}"

    @property
    def class_targets(self) -> bool:
        """True: targets are class indices."""
        return True

    @property
    def exponent(self) -> float:
        """Predicted exponent, ``1 + (t2 - 1)/(1 + t2 - t1)``."""
        return 1.0 + (self.t2 - 1.0) / (1.0 + self.t2 - self.t1)

    def value(self, y: Array, t: Array) -> Array:
        """Loss of each sample, shape (batch,)."""
        y, true = _checked(y, t)
        library = _library(y)
        log_p = log_tempered_softmax(y, self.t2)
        own = _where(library, true, log_p, 0.0).sum(1)
        rate, power = 1.0 - self.t1, 2.0 - self.t1
        log_t1 = own if rate == 0 else library.expm1(rate * own) / rate
        return -log_t1 - (1.0 - library.exp(power * log_p).sum(1)) / power

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the output error and its logarithm, shape (batch, classes), in double precision.

        With ``a_i = (p_i - [i = c]) p_i^(t2 - t1)``, ``dH/dy_j = a_j - E_j sum_i a_i``: at wrong classes two
        positive terms, at the right one minus their sum, as the errors of all classes add up to zero.
        """
        double = y.double() if library_of(y) == "torch" else np.asarray(y, dtype=np.float64)
        double, true = _checked(double, t)
        library = _library(double)
        log_p = log_tempered_softmax(double, self.t2)
        wrong = _where(library, true, -np.inf, log_p)
        log_rest = _log_sum(library, wrong)[:, None]
        # |a_i|: at the right class 1 - p_c is the sum of the others, never a difference.
        power = self.t2 - self.t1
        log_a = power * log_p + library.where(true, log_rest + 0.0 * log_p, log_p)
        log_escort = self.t2 * log_p
        log_escort = log_escort - _log_sum(library, log_escort)[:, None]
        log_a_right = _log_sum(library, _where(library, true, log_a, -np.inf))[:, None]
        log_a_wrong = _log_sum(library, _where(library, true, -np.inf, log_a))[:, None]
        # sum a = sum over wrong classes - |a_right|. At wrong j: a_j + E_j |a_right| - E_j sum_wrong a.
        sign, log_size = _difference(
            library, _log_add(library, log_a, log_escort + log_a_right), log_escort + log_a_wrong
        )
        total = _signed_sum(library, _where(library, true, 0.0, sign), log_size)
        own_sign, own_log = -total[0][:, None], total[1][:, None]
        return library.where(true, own_sign + 0.0 * sign, sign), library.where(true, own_log + 0.0 * sign, log_size)

    def output_error(self, y: Array, t: Array) -> Array:
        """Output error, shape and dtype of ``y``."""
        sign, log_size = self.log_output_error(y, t)
        error = sign * exp(log_size)
        return error.to(y.dtype) if library_of(y) == "torch" else error

    def asymptotic(self) -> Asymptote:
        """Predicted limit for a wrong class at large margin."""
        if self.t2 < 1:
            tail = "zero beyond a finite margin"
        elif self.t2 == 1:
            # p^(2 - t1) with p ~ exp(-m)
            tail = f"exp(-{2 - self.t1:g} m)" if self.t1 != 1 else "exp(-m)"
        else:
            tail = f"m^-{(1 + self.t2 - self.t1) / (self.t2 - 1):.6g}"
        return Asymptote(self.exponent, exact_fraction(self.exponent), tail, "margin -> inf", approach="unknown")

    @property
    def formula(self) -> str:
        """The loss in words of mathematics."""
        return (
            f"H = -ln_{self.t1:g}(p_c) - (1 - sum_i p_i^{2 - self.t1:g})/{2 - self.t1:g}, "
            f"p_i = e_{self.t2:g}(y_i - nu(y))"
        )

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values."""
        return {"name": self.name, "t1": self.t1, "t2": self.t2, "exponent": self.exponent, "formula": self.formula}

    def summary(self) -> str:
        """One line."""
        return f"{self.name}: exponent {self.exponent:g}, {self.formula}"


@dataclass(frozen=True)
class TemperedSoftmax:
    """Tempered softmax of temperature q with its matching loss: output error ``p - [i = c]``, exponent q.

    The Jacobian of the tempered softmax, ``dp_i/dy_j = p_i^q ([i = j] - p_j^q / sum_k p_k^q)``, is symmetric, so that
    ``p`` is the gradient of a convex function ``F``, the conjugate of
    ``G(p) = sum_i p_i (p_i^(1-q) - 1)/((2-q)(1-q))``, whose slopes are ``ln_q p_i``. The matching loss is
    ``F(y) - y_c``. It is bounded below for q < 2 only; for larger q it falls for ever, ever more slowly.

    Parameters
    ----------
    temperature
        q, in (0, 3].

    Raises
    ------
    InvalidInputError
        If the temperature is not positive.
    """

    temperature: float

    def __post_init__(self) -> None:
        """Refuse temperatures without a softmax."""
        if not 0 < self.temperature <= 3:
            raise InvalidInputError(f"a tempered softmax needs a temperature in (0, 3]; got {self.temperature}")

    @property
    def name(self) -> str:
        """Name such as ``tempered-softmax:1.5``."""
        return f"tempered-softmax:{self.temperature:g}"

    @property
    def class_targets(self) -> bool:
        """True: targets are class indices."""
        return True

    @property
    def exponent(self) -> float:
        """Exponent of the fluctuations of wrong classes' outputs: the temperature."""
        return self.temperature

    def value(self, y: Array, t: Array) -> Array:
        """``F(y) - y_c``, shape (batch,), zero for a settled sample.

        ``F(y) = sum_i p_i y_i - G(p)``.
        """
        y, true = _checked(y, t)
        library = _library(y)
        log_p = log_tempered_softmax(y, self.temperature)
        p = library.exp(log_p)
        right = library.where(true, y, 0.0 * y).sum(1)[:, None]
        # sum p_i y_i - y_c = sum over wrong p_i (y_i - y_c)
        spread = (p * (y - right)).sum(1)
        return spread - self._entropy(library, p, log_p)

    def _entropy(self, library: Any, p: Array, log_p: Array) -> Array:
        """``G(p)``, up to a factor minus Tsallis' entropy of index ``2 - q``; for q = 2 up to a constant."""
        q = self.temperature
        seen = p > 0
        log_p = _where(library, seen, log_p, 0.0)
        if q == 1.0:
            return (p * log_p).sum(1)
        if q == 2.0:
            return -(library.where(seen, log_p, 0.0 * p)).sum(1)
        return library.where(seen, p * library.expm1((1.0 - q) * log_p), 0.0 * p).sum(1) / ((2.0 - q) * (1.0 - q))

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of ``p_i - [i = c]`` and its logarithm, shape (batch, classes), in double precision."""
        double = y.double() if library_of(y) == "torch" else np.asarray(y, dtype=np.float64)
        double, true = _checked(double, t)
        library = _library(double)
        log_p = log_tempered_softmax(double, self.temperature)
        rest = _log_sum(library, _where(library, true, -np.inf, log_p))[:, None]
        return 1.0 - 2.0 * true, library.where(true, rest + 0.0 * log_p, log_p)

    def output_error(self, y: Array, t: Array) -> Array:
        """``p_i - [i = c]``, shape and dtype of ``y``."""
        sign, log_size = self.log_output_error(y, t)
        error = sign * exp(log_size)
        return error.to(y.dtype) if library_of(y) == "torch" else error

    def asymptotic(self) -> Asymptote:
        """Limit for a wrong class at large margin: ``e_q(-m)``."""
        q = self.temperature
        tail = "exp(-m)" if q == 1 else (f"m^-{1 / (q - 1):.6g}" if q > 1 else "zero beyond a finite margin")
        return Asymptote(q, exact_fraction(q), tail, "margin -> inf", approach="unknown")

    @property
    def formula(self) -> str:
        """The loss in words of mathematics."""
        return f"dH/dy_i = p_i - [i = c], p_i = e_{self.temperature:g}(y_i - nu(y)), sum_i p_i = 1"

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values."""
        return {"name": self.name, "exponent": self.exponent, "formula": self.formula}

    def summary(self) -> str:
        """One line."""
        return f"{self.name}: exponent {self.exponent:g}, {self.formula}"


def _where(library: Any, condition: Array, first: Array | float, second: Array | float) -> Array:
    """``where`` with a plain number for one of the two."""
    like = second if isinstance(first, float) else first
    blank = library.zeros_like(like)
    return library.where(condition, blank + first, blank + second)


def _log_sum(library: Any, values: Array) -> Array:
    """``ln sum exp`` over classes; ``-inf`` if all are."""
    if library is not np:
        return values.logsumexp(dim=1)
    import scipy.special

    return np.asarray(scipy.special.logsumexp(values, axis=1))


def _log_add(library: Any, first: Array, second: Array) -> Array:
    return library.logaddexp(first, second)


def _difference(library: Any, first: Array, second: Array) -> tuple[Array, Array]:
    """Sign and logarithm of ``exp(first) - exp(second)``."""
    larger = library.maximum(first, second)
    gap = library.where(larger > -np.inf, -abs(first - second), 0.0 * larger)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_size = larger + library.log(-library.expm1(gap))
    log_size = library.where(larger > -np.inf, log_size, larger)
    return library.sign(first - second), log_size


def _signed_sum(library: Any, sign: Array, log_size: Array) -> tuple[Array, Array]:
    """Sign and logarithm of a sum over classes of signed terms."""
    positive = _log_sum(library, _where(library, sign > 0, log_size, -np.inf))
    negative = _log_sum(library, _where(library, sign < 0, log_size, -np.inf))
    return _difference(library, positive, negative)

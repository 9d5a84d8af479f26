"""Tempered softmax with its matching loss: many classes, with a tail that depends on one temperature.

Source: Amid, Warmuth, Anil and Koren, Robust bi-tempered logistic loss based on Bregman divergences (2019).
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from critlearn.compositions.softmax.cross_entropy import array_module, log_sum_exp, outputs_and_true_class
from critlearn.compositions.symbolic.evaluation import exp
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of
from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.errors import InvalidInputError
from critlearn.inverse_design.criteria import LARGEST_TEMPERATURE
from critlearn.inverse_design.log_differences import LOG_ZERO, where, with_zeros, without_zeros
from critlearn.inverse_design.margin_loss import exact_fraction
from critlearn.inverse_design.q_exponential import log_q_exponential
from critlearn.numerics.validation import check_number
from critlearn.results import Result

_STEPS: Final = 200
"""Largest number of steps of Newton's method: for a thousand classes about 20 are taken, the rest is for rounding."""


def log_tempered_softmax(y: Array, temperature: float) -> Array:
    """Logarithms ``ln p_i`` of the tempered softmax ``p_i = e_q(y_i - nu)``, ``sum_i p_i = 1``; shape (batch, classes).

    q = 1 is the ordinary softmax. For q < 1, classes far below the largest get exactly zero.

    Raises
    ------
    InvalidInputError
        If the temperature is not a number in (0, 3].
    """
    _check_temperature(temperature)
    library = array_module(y)
    q = temperature
    top = y.detach().max(1)[0][:, None] if library is not np else y.max(axis=1, keepdims=True)
    shifted = y - top
    if q == 1.0:
        total = library.log(library.exp(shifted).sum(1))[:, None]
        return shifted - total
    nu = _normaliser(library, shifted if library is np else shifted.detach(), q)
    # The search has no derivative. One more step of Newton's method, with its slope held, has that of the implicit
    # function: dnu/dy_j = p_j^q / sum_i p_i^q.
    return log_q_exponential(shifted - (nu + _newton_step(library, shifted, nu, q)), q)


def _normaliser(library: Any, shifted: Array, q: float) -> Array:
    """``nu``, shape (batch, 1), for outputs whose largest is 0, by Newton's method.

    ``sum_i e_q(y_i - nu)`` is a convex function of ``nu``, at least 1 at 0, so that no step goes beyond the solution.
    """
    nu = 0.0 * shifted[:, :1]
    for _ in range(_STEPS):
        further = nu + _newton_step(library, shifted, nu, q)
        if bool((further <= nu).all()):
            break
        nu = library.maximum(nu, further)
    return nu


def _newton_step(library: Any, shifted: Array, nu: Array, q: float) -> Array:
    """Step ``(sum_i p_i - 1) / sum_i p_i^q`` towards the solution, shape (batch, 1)."""
    log_p = log_q_exponential(shifted - nu, q)
    slope = library.exp(q * log_p).sum(1)[:, None]
    return (library.exp(log_p).sum(1)[:, None] - 1.0) / (slope if library is np else slope.detach())


@dataclass(frozen=True, repr=False)
class TemperedSoftmax(Result):
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
        If the temperature is not in (0, 3].
    """

    derived_values = ("name", "exponent", "formula")

    temperature: float

    def __post_init__(self) -> None:
        """Raise if the temperature is out of range."""
        _check_temperature(self.temperature)

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
        """``F(y) - y_c``, shape (batch,), zero in the limit of a large margin.

        ``F(y) = sum_i p_i y_i - G(p)``.
        """
        y, true = outputs_and_true_class(y, t)
        library = array_module(y)
        log_p = log_tempered_softmax(y, self.temperature)
        p = library.exp(log_p)
        right = library.where(true, y, 0.0 * y).sum(1)[:, None]
        # sum_i p_i y_i - y_c = sum over wrong classes of p_i (y_i - y_c), without the difference of two large numbers.
        spread = (p * (y - right)).sum(1)
        return spread - self._entropy(library, p, log_p)

    def _entropy(self, library: Any, p: Array, log_p: Array) -> Array:
        """``G(p)``, a multiple of minus Tsallis' entropy of index ``2 - q``; for q = 2 up to a constant."""
        q = self.temperature
        present = p > 0
        log_p = where(library, present, log_p, 0.0)
        if q == 1.0:
            return (p * log_p).sum(1)
        if q == 2.0:
            return -(library.where(present, log_p, 0.0 * p)).sum(1)
        return library.where(present, p * library.expm1((1.0 - q) * log_p), 0.0 * p).sum(1) / ((2.0 - q) * (1.0 - q))

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of ``p_i - [i = c]`` and its logarithm, shape (batch, classes), in double precision."""
        double = y.double() if library_of(y) == "torch" else np.asarray(y, dtype=np.float64)
        double, true = outputs_and_true_class(double, t)
        library = array_module(double)
        log_p = without_zeros(library, log_tempered_softmax(double, self.temperature))
        rest = log_sum_exp(where(library, true, LOG_ZERO, log_p))[:, None]
        return 1.0 - 2.0 * true, with_zeros(library, library.where(true, rest, log_p))

    def output_error(self, y: Array, t: Array) -> Array:
        """``p_i - [i = c]``, shape and dtype of ``y``."""
        sign, log_size = self.log_output_error(y, t)
        error = sign * exp(log_size)
        return error.to(y.dtype) if library_of(y) == "torch" else error

    def asymptotic(self) -> Asymptote:
        """Limit of the intrinsic exponent, for a wrong class at large margin, whose probability is ``e_q(-m)``."""
        q = self.temperature
        tail = "exp(-m)" if q == 1 else (f"m^-{1 / (q - 1):.6g}" if q > 1 else "zero beyond a finite margin")
        return Asymptote(q, exact_fraction(q), tail, "margin -> inf", approach="unknown")

    @property
    def formula(self) -> str:
        """The loss as a formula."""
        return f"dH/dy_i = p_i - [i = c], p_i = e_{self.temperature:g}(y_i - nu(y)), sum_i p_i = 1"

    def summary(self) -> str:
        """Name, exponent and formula in one line."""
        return f"{self.name}: exponent {self.exponent:g}, {self.formula}"


def _check_temperature(temperature: float) -> None:
    check_number("a temperature", temperature)
    if not 0 < temperature <= LARGEST_TEMPERATURE:
        raise InvalidInputError(f"a tempered softmax needs a temperature in (0, 3]; got {temperature}")

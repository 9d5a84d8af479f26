"""Bi-tempered logistic loss of many classes, whose tail depends on two temperatures.

Source: Amid, Warmuth, Anil and Koren, Robust bi-tempered logistic loss based on Bregman divergences (2019).
"""

from dataclasses import dataclass

import numpy as np

from critlearn.compositions.softmax.cross_entropy import array_module, log_sum_exp, outputs_and_true_class
from critlearn.compositions.symbolic.evaluation import exp
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of
from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.errors import InvalidInputError
from critlearn.inverse_design.criteria import LARGEST_TEMPERATURE
from critlearn.inverse_design.log_differences import LOG_ZERO, log_difference, where, with_zeros, without_zeros
from critlearn.inverse_design.margin_loss import exact_fraction
from critlearn.inverse_design.tempered_softmax import TemperedSoftmax, log_tempered_softmax
from critlearn.numerics.validation import check_number
from critlearn.results import Result


@dataclass(frozen=True, repr=False)
class BiTemperedLogistic(Result):
    """Bi-tempered logistic loss of temperatures ``t1``, ``t2``: Bregman loss of ``ln_t1`` of the tempered softmax.

    ``H = -ln_t1(p_c) - (1 - sum_i p_i^(2 - t1)) / (2 - t1)`` with ``p`` the tempered softmax of temperature ``t2`` and
    ``c`` the class. With ``t1 = t2`` it is the matching loss of the tempered softmax, `TemperedSoftmax`, with output
    error ``p - [i = c]``; with both 1, cross-entropy.

    For ``t2 < 1`` the class may have probability 0. There ``H`` no longer depends on its output, which gets no error if
    ``t1 < t2``. The matching loss is the one that continues with the error -1, and it goes on rising: it is the loss
    for ``t1 = t2``, so that errors are not lost.

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

    derived_values = ("name", "exponent", "formula")

    t1: float
    t2: float

    def __post_init__(self) -> None:
        """Raise if a temperature is out of range or ``t1 > t2``."""
        for temperature in (self.t1, self.t2):
            check_number("a temperature", temperature)
        # Below t1 = 0 another term of the error decays more slowly, and the exponent is a different one.
        if not (0 <= self.t1 < 2 and 0 < self.t2 <= LARGEST_TEMPERATURE and self.t1 <= self.t2):
            raise InvalidInputError(
                f"bi-tempered logistic needs 0 <= t1 < 2, 0 < t2 <= 3 and t1 <= t2; got t1 = {self.t1}, t2 = {self.t2}"
            )

    @property
    def _matching(self) -> TemperedSoftmax:
        """Loss for equal temperatures: it equals H where the class has a probability above 0."""
        return TemperedSoftmax(self.t2)

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
        if self.t1 == self.t2:
            return self._matching.value(y, t)
        y, true = outputs_and_true_class(y, t)
        library = array_module(y)
        log_p = log_tempered_softmax(y, self.t2)
        own = where(library, true, log_p, 0.0).sum(1)
        rate, power = 1.0 - self.t1, 2.0 - self.t1
        log_t1 = own if rate == 0 else library.expm1(rate * own) / rate
        return -log_t1 - (1.0 - library.exp(power * log_p).sum(1)) / power

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the output error and its logarithm, shape (batch, classes), in double precision.

        ``dH/dy_j = a_j - E_j sum_i a_i`` with ``a_i = (p_i - [i = c]) p_i^(t2 - t1)``.
        """
        double = y.double() if library_of(y) == "torch" else np.asarray(y, dtype=np.float64)
        double, true = outputs_and_true_class(double, t)
        library = array_module(double)
        log_p = without_zeros(library, log_tempered_softmax(double, self.t2))
        log_rest = log_sum_exp(where(library, true, LOG_ZERO, log_p))[:, None]
        # |a_i|: at the right class, 1 - p_c is formed as the sum of the other probabilities, so it does not cancel.
        log_a = (self.t2 - self.t1) * log_p + library.where(true, log_rest, log_p)
        log_escort = self.t2 * log_p
        # Normalised in logarithms: p^t2 may underflow where p does not.
        log_escort = log_escort - log_sum_exp(log_escort)[:, None]
        _, top = outputs_and_true_class(double, log_p.argmax(1))

        def log_total(logs: Array, left_out: Array) -> Array:
            return log_sum_exp(where(library, left_out, LOG_ZERO, logs))[:, None]

        log_a_right = log_total(log_a, ~true)
        # sum a = sum over wrong classes - |a_right|. At the right class no term cancels: minus
        # |a_right| sum_wrong E + E_c sum_wrong a.
        log_size_right = library.logaddexp(
            log_a_right + log_total(log_escort, true), log_escort + log_total(log_a, true)
        )
        # At wrong j: a_j + E_j |a_right| - E_j sum_wrong a. Of the likeliest class, whose E_j may be nearly 1, a_j is
        # taken out of the sum: a_j (1 - E_j) + E_j |a_right| - E_j sum_(wrong i != j) a_i.
        log_own = library.where(top, log_a + log_total(log_escort, top), log_a)
        log_others = library.where(top, log_total(log_a, true | top), log_total(log_a, true))
        sign, log_size = log_difference(
            library, library.logaddexp(log_own, log_escort + log_a_right), log_escort + log_others
        )
        log_size = with_zeros(library, library.where(true, log_size_right, log_size))
        return where(library, true, -1.0, sign), log_size

    def output_error(self, y: Array, t: Array) -> Array:
        """Output error, shape and dtype of ``y``."""
        sign, log_size = self.log_output_error(y, t)
        error = sign * exp(log_size)
        return error.to(y.dtype) if library_of(y) == "torch" else error

    def asymptotic(self) -> Asymptote:
        """Predicted limit of the intrinsic exponent, for a wrong class at large margin."""
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
        """The loss as a formula."""
        return (
            f"H = -ln_{self.t1:g}(p_c) - (1 - sum_i p_i^{2 - self.t1:g})/{2 - self.t1:g}, "
            f"p_i = e_{self.t2:g}(y_i - nu(y))"
        )

    def summary(self) -> str:
        """Name, exponent and formula in one line."""
        return f"{self.name}: exponent {self.exponent:g}, {self.formula}"

"""Loss of the margin whose error signal is a q-exponential, so that its exponent is q."""

import math
from dataclasses import dataclass

import numpy as np

from critlearn.compositions.symbolic.evaluation import choose, exp
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of
from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.errors import InvalidInputError
from critlearn.inverse_design.criteria import LARGEST_EXPONENT, SMALLEST_EXPONENT
from critlearn.inverse_design.q_exponential import log_q_exponential, q_exponential_integral
from critlearn.numerics.validation import check_number
from critlearn.results import Result


@dataclass(frozen=True, repr=False)
class QMarginLoss(Result):
    """Loss of the margin ``m = t y``, ``t = -1, +1``, with error signal ``|dh/dy| = e_q(-m)``.

    ``kappa = 1 + lambda''/lambda'^2 = q`` at every margin, as ``lambda' = -1/(1 + (q - 1) m)``. q = 0 is the squared
    hinge (up to the position of its corner), q = 1 the exponential loss, q = 2 the logarithmic one. For q > 1 the
    q-exponential has a pole at the margin ``-1/(q - 1)``; below `softening` the error signal keeps its value there, and
    the loss continues as a straight line. It is convex, because the error signal nowhere grows with the margin. For
    q < 1 the error signal vanishes beyond the margin ``1/(1 - q)``, and fluctuations are exactly zero there.

    It satisfies the protocol `OutputLoss`, so it can be trained and measured like any composition.

    Parameters
    ----------
    exponent
        q, from -2 to 3.
    softening
        Margin, at most 0, below which the error signal stays constant.

    Raises
    ------
    InvalidInputError
        If the exponent is not from -2 to 3, or the softening is not between the pole and 0.

    >>> QMarginLoss(1.5).asymptotic().exact
    '3/2'
    """

    derived_values = ("name", "formula")

    exponent: float
    softening: float = 0.0

    def __post_init__(self) -> None:
        """Raise if the exponent or the softening is out of range."""
        check_exponent(self.exponent)
        check_number("a softening", self.softening)
        pole = -1.0 / (self.exponent - 1.0) if self.exponent > 1 else -math.inf
        if not (math.isfinite(self.softening) and pole < self.softening <= 0):
            raise InvalidInputError(
                f"softening must be a margin in ({pole:.4g}, 0], between the pole of the q-exponential and 0; "
                f"got {self.softening}"
            )

    @property
    def name(self) -> str:
        """Name such as ``q-margin:1.5``."""
        return f"q-margin:{self.exponent:g}"

    @property
    def class_targets(self) -> bool:
        """False: targets are -1 and +1."""
        return False

    @property
    def formula(self) -> str:
        """The loss as a formula."""
        q = self.exponent
        if q == 1:
            error = "exp(-m)"
        elif q == 0:
            error = "max(0, 1 - m)"
        else:
            positive = "[1 - %g m]_+" % (1 - q) if q < 1 else "(1 + %g m)" % (q - 1)
            error = f"{positive}^({1 / (1 - q):.6g})"
        return f"dH/dm = -{error} for m = t y > {self.softening:g}, constant below"

    def value(self, y: Array, t: Array) -> Array:
        """Loss of each output, zero at margin 0; for q >= 2 it falls without bound, for q < 2 to a limit."""
        margin = _checked(y, t) * y
        low = self.softening
        held = margin.clip(min=low) if library_of(margin) == "torch" else np.maximum(margin, low)
        # Below the softening the loss continues as a line with the slope that it has there.
        slope = math.exp(float(log_q_exponential(np.array(-low), self.exponent)))
        return -q_exponential_integral(held, self.exponent) - slope * (margin - held)

    def log_error_signal(self, y: Array, t: Array = 1) -> Array:
        """``ln|dh/dy|``: ``ln e_q(-m)``."""
        margin = _checked(y, t) * y
        low = self.softening
        held = margin.clip(min=low) if library_of(margin) == "torch" else np.maximum(margin, low)
        return log_q_exponential(-held, self.exponent)

    def log_error_derivatives(self, y: Array, t: Array = 1) -> tuple[Array, Array]:
        """First and second derivative of ``ln|dh/dy|``: ``lambda' = -t / (1 + (q - 1) m)``."""
        t = _checked(y, t)
        margin = t * _double(y)
        with np.errstate(divide="ignore"):
            # Both derivatives vanish below the softening, where the error signal is constant.
            inverse = choose(margin > self.softening, 1.0 / (1.0 + (self.exponent - 1.0) * margin), 0.0 * margin)
        return -t * inverse, (self.exponent - 1.0) * inverse**2

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of ``dh/dy`` and ``ln|dh/dy|``, in double precision."""
        double = _double(y)
        return -_checked(double, t) * (double * 0 + 1), self.log_error_signal(double, t)

    def output_error(self, y: Array, t: Array) -> Array:
        """``dh/dy``, dtype of ``y``."""
        sign, log_size = self.log_output_error(y, t)
        error = sign * exp(log_size)
        return error.to(y.dtype) if library_of(y) == "torch" else error

    def intrinsic_exponent(self, y: Array, t: Array = 1) -> Array:
        """``kappa = q`` above the softening; NaN where the error signal is constant."""
        first, second = self.log_error_derivatives(y, t)
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 + second / first**2

    def singular_points(self, t: float = 1) -> tuple[float, ...]:
        """Outputs at which the error signal vanishes or has a kink."""
        ends = (1.0 / (1.0 - self.exponent),) if self.exponent < 1 else ()
        return tuple(sorted(t * margin for margin in (self.softening, *ends)))

    def asymptotes(self, t: float = 1) -> tuple[Asymptote, ...]:
        """The exponent where fluctuations become small: exactly q, at every margin."""
        q = exact_fraction(self.exponent)
        place = math.inf
        if self.exponent < 1:
            power, location = 1.0 / (1.0 - self.exponent), "margin -> 1/(1 - q)"
            place = power
            tail = f"|m - {power:g}|^{power:g}"
        elif self.exponent == 1:
            tail, location = "exp(-m)", "margin -> inf"
        else:
            tail, location = f"m^-{1 / (self.exponent - 1):g}", "margin -> inf"
        return (Asymptote(self.exponent, q, tail, location, approach="exact", place=place),)

    def asymptotic(self, t: float = 1) -> Asymptote:
        """Return the governing limit, the first of `asymptotes`."""
        return self.asymptotes(t)[0]

    def summary(self) -> str:
        """Exponent and formula in one line."""
        return f"loss of the margin with exponent {self.exponent:g}: {self.formula}"


def check_exponent(exponent: float) -> None:
    """Raise if an exponent is no number, or outside the range that can be designed.

    Raises
    ------
    InvalidInputError
        If the exponent is not a number from -2 to 3.
    """
    check_number("an exponent", exponent)
    if not SMALLEST_EXPONENT <= exponent <= LARGEST_EXPONENT:
        raise InvalidInputError(
            f"an exponent from {SMALLEST_EXPONENT:g} to {LARGEST_EXPONENT:g} can be designed; got {exponent}: beyond, "
            "the error signal is nearly constant up to a jump (q < -2), or so heavy in its tail that it hardly falls "
            "with the margin (q > 3)"
        )


def exact_fraction(exponent: float) -> str | None:
    """Exponent as a fraction in text, if its denominator is at most 100; else None."""
    from fractions import Fraction

    fraction = Fraction(exponent).limit_denominator(100)
    return str(fraction) if float(fraction) == exponent else None


def _double(y: Array) -> Array:
    return y.double() if library_of(y) == "torch" else np.asarray(y, dtype=np.float64)


def _checked(y: Array, t: Array) -> Array:
    """Targets -1, +1 in the library of the outputs; raise for others."""
    if library_of(y) == "torch":
        import torch

        t = torch.as_tensor(t, dtype=y.dtype, device=y.device)
    else:
        t = np.asarray(t, dtype=np.float64)
    if not bool((abs(t) == 1).all()):
        raise InvalidInputError("targets of a margin loss are the classes -1 and +1; got others")
    return t

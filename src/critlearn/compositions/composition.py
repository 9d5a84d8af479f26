"""Composition of an output activation and a loss: everything follows from the logarithm of its error signal."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import mpmath
import numpy as np
import sympy as sp

from critlearn.compositions.activation import Activation
from critlearn.compositions.activations import ACTIVATIONS, find_activation
from critlearn.compositions.asymptote import Asymptote, residual_asymptotes, saturation_asymptote
from critlearn.compositions.expressions import Array, evaluate, exp, library_of, log
from critlearn.compositions.loss import Loss, log_opposite, log_residual, log_width
from critlearn.compositions.losses import find_loss, loss_names
from critlearn.errors import InvalidInputError

_SYMBOLS: Final = (log_residual, log_opposite, log_width)


@dataclass(frozen=True, init=False)
class Composition:
    """Output activation ``f`` followed by loss ``H``; ``h(y) = H(f(y), t)``, error signal ``g = |h'|``.

    Only ``lambda(y) = ln g(y)`` and its derivatives are computed (theory, one-dimensional reduction), so nothing
    underflows or cancels, at any margin.

    Parameters
    ----------
    activation, loss
        Catalogue names, or objects.

    Raises
    ------
    InvalidInputError
        If a name is unknown, or the loss needs saturation and the activation has none.

    Notes
    -----
    Targets are the classes ``-1`` and ``+1`` for a bounded activation, whatever its range: the class ``+1`` is the
    upper saturation value. An unbounded activation takes any real target. Arrays may be NumPy arrays or torch tensors.

    >>> Composition("softsign", "mse").asymptotic().exact
    '4/3'
    """

    activation: Activation
    loss: Loss

    def __init__(self, activation: str | Activation, loss: str | Loss) -> None:
        if isinstance(activation, str):
            activation = find_activation(activation)
        if isinstance(loss, str):
            loss = find_loss(loss)
        if loss.needs_saturation and not activation.bounded:
            fitting = ", ".join(name for name in loss_names() if _fits(activation, name))
            bounded = ", ".join(name for name, entry in ACTIVATIONS.items() if entry.bounded)
            raise InvalidInputError(
                f'loss "{loss.name}" needs an activation that saturates, and "{activation.name}" does not; '
                f'with "{activation.name}" use {fitting}; with "{loss.name}" use {bounded}'
            )
        object.__setattr__(self, "activation", activation)
        object.__setattr__(self, "loss", loss)

    @property
    def name(self) -> str:
        """Name such as ``sigmoid+bce``."""
        return f"{self.activation.name}+{self.loss.name}"

    @property
    def class_targets(self) -> bool:
        """False: targets are one number per output, not class indices."""
        return False

    def value(self, y: Array, t: Array) -> Array:
        """Loss ``H(f(y), t)``; shapes of ``y`` and ``t`` broadcast."""
        distances, _ = self._distances(y, self._checked_target(t))
        return evaluate(self.loss.value, distances)

    def log_error_signal(self, y: Array, t: Array = 1) -> Array:
        """``lambda(y) = ln|dh/dy|``; ``-inf`` where the error is exactly zero."""
        distances, _ = self._distances(y, self._checked_target(t))
        return evaluate(self.loss.log_derivative, distances) + self.activation.log_slope(y)

    def log_error_derivatives(self, y: Array, t: Array = 1) -> tuple[Array, Array]:
        """First and second derivative of ``lambda`` with respect to the pre-activation.

        By the chain rule, with ``d ln|f - t| / dy = sign(f - t) exp(ln f' - ln|f - t|)`` formed from logarithms.
        """
        distances, sign = self._distances(y, self._checked_target(t))
        log_slope = self.activation.log_slope(y)
        slope_first, slope_second = self.activation.log_slope_derivatives(y)
        # The residual shrinks while the distance to the other class grows: opposite signs.
        rates = {log_residual: sign * exp(log_slope - distances[log_residual])}
        if self.activation.bounded:
            rates[log_opposite] = -sign * exp(log_slope - distances[log_opposite])
        first, second = slope_first, slope_second
        for symbol, rate in rates.items():
            partial = sp.diff(self.loss.log_derivative, symbol)
            if partial == 0:
                continue
            value = evaluate(partial, distances)
            first = first + value * rate
            second = second + value * rate * (slope_first - rate)
            for other, other_rate in rates.items():
                mixed = sp.diff(partial, other)
                if mixed != 0:
                    second = second + evaluate(mixed, distances) * rate * other_rate
        return first, second

    def output_error(self, y: Array, t: Array) -> Array:
        """Output error ``dh/dy``, tail-exact: shape of ``y`` and ``t`` broadcast, dtype of ``y``.

        It is zero only where the true value is below the smallest number of the dtype; `log_output_error` has
        no such bound.
        """
        sign, log_size = self.log_output_error(y, t)
        return _cast(sign * exp(log_size), y)

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the output error ``dh/dy`` and ``ln|dh/dy|``, in double precision."""
        t = self._checked_target(t)
        _, sign = self._distances(_double(y), t)
        return sign, self.log_error_signal(_double(y), t)

    def intrinsic_exponent(self, y: Array, t: Array = 1) -> Array:
        """``kappa = 1 + lambda'' / lambda'^2``: the exponent that the composition alone gives at ``y``.

        Infinite at a caustic (``lambda' = 0``), NaN where the error signal is constant.
        """
        first, second = self.log_error_derivatives(y, t)
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 + second / first**2

    def asymptotes(self, t: float = 1) -> tuple[Asymptote, ...]:
        """Exact limits of kappa where fluctuations become small; the governing one first."""
        self._checked_target(t)
        if self.activation.bounded:
            return (saturation_asymptote(self.activation, self.loss),)
        return residual_asymptotes(self.loss)

    def asymptotic(self, t: float = 1) -> Asymptote:
        """Exact limit of kappa at margin -> infinity; for a linear output whose error does not decay, at its zero.

        By symmetry it is the same for both classes.
        """
        return self.asymptotes(t)[0]

    def exact_exponent(self) -> Fraction | None:
        """Rational value of the asymptotic exponent, if it has one."""
        exact = self.asymptotic().exact
        return None if exact is None else Fraction(exact)

    def _checked_target(self, t: Array) -> Array:
        """Targets as classes -1, +1 for a bounded activation (0 is the class -1 where it is the lower saturation)."""
        if not self.activation.bounded:
            return t
        array = t if library_of(t) == "torch" else np.asarray(t, dtype=np.float64)
        if self.activation.range[0] == 0:
            array = array * 1.0 - 1.0 * (array == 0)
        if not bool((abs(array) == 1).all()):
            allowed = "-1 and +1" + (" (or 0 and 1)" if self.activation.range[0] == 0 else "")
            raise InvalidInputError(f'targets of "{self.name}" are the classes {allowed}; got others')
        return array

    def _distances(self, y: Array, t: Array) -> tuple[dict[sp.Symbol, Array], Array]:
        """Logarithmic distances at which the loss is evaluated, and the sign of ``f - t``."""
        y, t = _together(y, t)
        if not self.activation.bounded:
            difference = self.activation(y) - t
            return {log_residual: _log_abs(difference)}, _sign(difference)
        lower, upper = self.activation.range
        near, far = self.activation.log_gaps(t * y)
        width = float(np.log(upper - lower))
        return {log_residual: near, log_opposite: far, log_width: near * 0.0 + width}, -t


def _fits(activation: Activation, loss_name: str) -> bool:
    """Whether a catalogue loss can follow the activation."""
    return loss_name == "power:p" or activation.bounded or not find_loss(loss_name).needs_saturation


def _together(y: Array, t: Array) -> tuple[Array, Array]:
    """Pre-activations and targets as arrays of one library, broadcast against each other."""
    if library_of(y) == "torch" or library_of(t) == "torch":
        import torch

        y = torch.as_tensor(y)
        y = y if y.is_floating_point() else y.to(torch.float64)
        t = torch.as_tensor(t, dtype=y.dtype, device=y.device)
        return torch.broadcast_tensors(y, t)
    if library_of(y) == "mpmath":
        return y, (int(t) if float(t).is_integer() else t)
    first, second = np.broadcast_arrays(np.asarray(y, dtype=np.float64), np.asarray(t, dtype=np.float64))
    return first, second


def _double(y: Array) -> Array:
    return y.double() if library_of(y) == "torch" else y


def _cast(value: Array, like: Array) -> Array:
    return value.to(like.dtype) if library_of(like) == "torch" and like.is_floating_point() else value


def _log_abs(value: Array) -> Array:
    return log(abs(value))


def _sign(value: Array) -> Array:
    if library_of(value) == "torch":
        return value.sign()
    return np.sign(value) if library_of(value) == "numpy" else mpmath.sign(value)

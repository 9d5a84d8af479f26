"""Error signal of an activation and a loss on arrays: logarithm, derivatives and sign, without cancellation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sympy as sp

from critlearn.compositions.activation import Activation
from critlearn.compositions.loss import Loss, LossForms, log_opposite, log_residual, log_width, output, target
from critlearn.compositions.symbolic.evaluation import choose, derivative, evaluate, exp, log, sign_of
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of
from critlearn.errors import InvalidInputError


@dataclass(frozen=True, eq=False)
class State:
    """Outputs of an activation in the variables of a loss: logarithms of their distances from the target.

    Parameters
    ----------
    activation, y
        The activation, and its pre-activations.
    residual_sign
        Sign of ``f - t`` of each output.
    distances
        Logarithms of the distances of each output, by the symbols that stand for them in the forms of the loss.
    forms
        Forms of the loss below and above the target.
    """

    activation: Activation
    y: Array
    residual_sign: Array
    distances: dict[sp.Symbol, Array]
    forms: tuple[LossForms, LossForms]

    def evaluated(self, form_of: Callable[[LossForms], sp.Expr]) -> Array:
        """Value of a form of the loss: that below the target or above it, according to each output."""
        below, above = (form_of(forms) for forms in self.forms)
        value = evaluate(below, self.distances)
        return value if below == above else choose(self.residual_sign < 0, value, evaluate(above, self.distances))

    def partial(self, *symbols: sp.Symbol) -> Array | None:
        """Partial derivative of ``ln|dH/df|`` with respect to log distances; None if it is identically zero."""
        if all(derivative(forms.log_derivative, *symbols) == 0 for forms in self.forms):
            return None
        return self.evaluated(lambda forms: derivative(forms.log_derivative, *symbols))

    def slope_sign(self) -> Array:
        """Sign of ``dH/df``."""
        if all(forms.slope is None for forms in self.forms):
            return self.residual_sign
        below, above = (
            sign_of(evaluate(forms.slope, self.distances))
            if forms.slope is not None
            else sign * (self.residual_sign * 0 + 1)
            for sign, forms in zip((-1, 1), self.forms, strict=True)
        )
        return choose(self.residual_sign < 0, below, above)

    def sign(self) -> Array:
        """Sign of ``dh/dy``."""
        return self.slope_sign() * self.activation.slope_sign(self.y)

    def log_error(self) -> Array:
        """``lambda(y) = ln|dh/dy|``; ``-inf`` where the error is exactly zero."""
        return self.evaluated(lambda forms: forms.log_derivative) + self.activation.log_slope(self.y)

    def derivatives(self) -> tuple[Array, Array]:
        """First and second derivative of ``lambda`` with respect to the pre-activation.

        By the chain rule, with ``d ln|f - t| / dy = sign(f - t) exp(ln f' - ln|f - t|)`` formed from logarithms.
        """
        log_slope = self.activation.log_slope(self.y)
        first, second = self.activation.log_slope_derivatives(self.y)
        # The rate r of a log distance changes by r' = r (ln f')' - r^2, that of the output itself by r (ln f')'. The
        # residual shrinks while the distance to the other class grows, hence the opposite signs of their rates. Where
        # the residual vanishes, r is NaN.
        with np.errstate(all="ignore"):
            return self._with_slopes_of_loss(log_slope, first, second)

    def _with_slopes_of_loss(self, log_slope: Array, first: Array, second: Array) -> tuple[Array, Array]:
        """Derivatives of ``lambda = ln|dH/df| + ln|f'|``: add those of the loss to those of ``ln|f'|``."""
        slope_first = first
        sign = self.residual_sign * self.activation.slope_sign(self.y)
        # exp of a difference of logarithms: f' / |f - t| would be 0 / 0 in the tail.
        rates = {log_residual: sign * exp(log_slope - self.distances[log_residual])}
        if self.activation.bounded:
            rates[log_opposite] = -sign * exp(log_slope - self.distances[log_opposite])
        if output in self.distances:
            rates[output] = self.activation.derivative(self.y)
        for symbol, rate in rates.items():
            partial = self.partial(symbol)
            if partial is None:
                continue
            change = slope_first if symbol == output else slope_first - rate
            first, second = first + partial * rate, second + partial * rate * change
            for other, other_rate in rates.items():
                mixed = self.partial(symbol, other)
                if mixed is not None:
                    second = second + mixed * rate * other_rate
        return first, second


def state_of(activation: Activation, loss: Loss, y: Array, t: Array) -> State:
    """Outputs in the variables of the loss, for pre-activations and targets whose shapes broadcast."""
    # One target for all: SymPy can then cancel it in f - t, which keeps small residuals exact.
    single = float(t) if not activation.bounded and np.ndim(t) == 0 and library_of(t) == "numpy" else None
    y, t = together(y, checked_target(activation, loss, t))
    if not activation.bounded:
        value = activation(y)
        residual = activation.residual(y, single) if single is not None and library_of(y) == "numpy" else value - t
        distances = {log_residual: _log_abs(residual)}
        if loss.formula is not None:
            distances |= {output: value, target: t}
        return State(activation, y, sign_of(residual), distances, (loss.forms(-1), loss.forms(1)))
    lower, upper = activation.range
    upper_gap, lower_gap = activation.log_gaps(y)
    true = t > 0
    near, far = choose(true, upper_gap, lower_gap), choose(true, lower_gap, upper_gap)
    width = y * 0.0 + float(np.log(upper - lower))
    distances = {log_residual: near, log_opposite: far, log_width: width}
    return State(activation, y, -t, distances, (loss.forms(-1, (upper, lower)), loss.forms(1, (lower, upper))))


def checked_target(activation: Activation, loss: Loss, t: Array) -> Array:
    """Return the targets, checked: classes -1 and +1 for an activation that saturates, any numbers for others.

    Where the lower saturation value is 0, targets of 0 stand for the class -1.

    Raises
    ------
    InvalidInputError
        If a target of an activation that saturates is no class.
    """
    if not activation.bounded:
        return t
    array = t if library_of(t) == "torch" else np.asarray(t, dtype=np.float64)
    if activation.range[0] == 0:
        array = array * 1.0 - 1.0 * (array == 0)
    if not bool((abs(array) == 1).all()):
        allowed = "-1 and +1" + (" (or 0 and 1)" if activation.range[0] == 0 else "")
        raise InvalidInputError(f'targets of "{activation.name}+{loss.name}" are the classes {allowed}; got others')
    return array


def together(y: Array, t: Array) -> tuple[Array, Array]:
    """Return pre-activations and targets as arrays of one library, broadcast against each other."""
    if library_of(y) == "torch" or library_of(t) == "torch":
        import torch

        y = torch.as_tensor(y)
        y = y if y.is_floating_point() else y.to(torch.float64)
        t = torch.as_tensor(t, dtype=y.dtype, device=y.device)
        return torch.broadcast_tensors(y, t)
    if library_of(y) == "mpmath":
        # A whole number as an int, which mpmath takes at any precision.
        return y, (int(t) if float(t).is_integer() else t)
    first, second = np.broadcast_arrays(np.asarray(y, dtype=np.float64), np.asarray(t, dtype=np.float64))
    return first, second


def _log_abs(value: Array) -> Array:
    return log(abs(value))

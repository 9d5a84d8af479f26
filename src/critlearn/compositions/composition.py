"""Composition of an output activation and a loss: everything follows from the logarithm of its error signal."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import sympy as sp

from critlearn.compositions.activation import Activation
from critlearn.compositions.activations import ACTIVATIONS
from critlearn.compositions.asymptote import Asymptote
from critlearn.compositions.expressions import Array, choose, derivative, evaluate, exp, library_of, log, sign_of
from critlearn.compositions.given import ActivationLike, LossLike, as_activation, as_loss
from critlearn.compositions.loss import (
    Loss,
    LossForms,
    log_opposite,
    log_residual,
    log_width,
    output,
    target,
)
from critlearn.compositions.losses import find_loss, loss_names
from critlearn.compositions.sides import all_sides, singular_places
from critlearn.errors import InvalidInputError


@dataclass(frozen=True, init=False)
class Composition:
    """Output activation ``f`` followed by loss ``H``; ``h(y) = H(f(y), t)``, error signal ``g = |h'|``.

    Only ``lambda(y) = ln g(y)`` and its derivatives are computed (theory, one-dimensional reduction), so nothing
    underflows or cancels, at any margin.

    Parameters
    ----------
    activation, loss
        Catalogue names, objects, expressions in text (``"y/(1+abs(y)**3)**(1/3)"``, ``"abs(e)**3"``) or SymPy, or
        callables on tensors, which are traced.

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

    def __init__(self, activation: ActivationLike, loss: LossLike) -> None:
        activation, loss = as_activation(activation), as_loss(loss)
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
        state = self._state(y, t)
        return state.evaluated(lambda forms: forms.value)

    def log_error_signal(self, y: Array, t: Array = 1) -> Array:
        """``lambda(y) = ln|dh/dy|``; ``-inf`` where the error is exactly zero."""
        return self._log_error_signal(self._state(y, t))

    def _log_error_signal(self, state: "_State") -> Array:
        return state.evaluated(lambda forms: forms.log_derivative) + self.activation.log_slope(state.y)

    def log_error_derivatives(self, y: Array, t: Array = 1) -> tuple[Array, Array]:
        """First and second derivative of ``lambda`` with respect to the pre-activation.

        By the chain rule, with ``d ln|f - t| / dy = sign(f - t) exp(ln f' - ln|f - t|)`` formed from logarithms.
        """
        state = self._state(y, t)
        log_slope = self.activation.log_slope(state.y)
        first, second = slope_first, _ = self.activation.log_slope_derivatives(state.y)
        # The residual shrinks while the distance to the other class grows: opposite signs. A rate r of a logarithm
        # changes as r (ln f')' - r^2, that of the output itself as r (ln f')'.
        sign = state.side * self.activation.slope_sign(state.y)
        rates = {log_residual: sign * exp(log_slope - state.distances[log_residual])}
        if self.activation.bounded:
            rates[log_opposite] = -sign * exp(log_slope - state.distances[log_opposite])
        if output in state.distances:
            rates[output] = self.activation.derivative(state.y)
        for symbol, rate in rates.items():
            partial = state.partial(symbol)
            if partial is None:
                continue
            change = slope_first if symbol == output else slope_first - rate
            first, second = first + partial * rate, second + partial * rate * change
            for other, other_rate in rates.items():
                mixed = state.partial(symbol, other)
                if mixed is not None:
                    second = second + mixed * rate * other_rate
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
        state = self._state(_double(y), t)
        sign = state.slope_sign() * self.activation.slope_sign(state.y)
        return sign, self._log_error_signal(state)

    def intrinsic_exponent(self, y: Array, t: Array = 1) -> Array:
        """``kappa = 1 + lambda'' / lambda'^2``: the exponent that the composition alone gives at ``y``.

        Infinite at a caustic (``lambda' = 0``), NaN where the error signal is constant.
        """
        first, second = self.log_error_derivatives(y, t)
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 + second / first**2

    def sides(self, t: float = 1) -> tuple[Asymptote, ...]:
        """Everything that happens to kappa at the ends of the line and at the zeros and poles of the error signal.

        The governing one comes first: where fluctuations become small.
        """
        if self.activation.bounded:
            t = float(np.asarray(self._checked_target(t)))
        return all_sides(self, float(t))

    def singular_points(self, t: float = 1) -> tuple[float, ...]:
        """Pre-activations at which the error signal vanishes or diverges, and the junction of the forms at 0."""
        return tuple(sorted({0.0, *singular_places(self, float(t))}))

    def asymptotes(self, t: float = 1) -> tuple[Asymptote, ...]:
        """Limits of kappa where fluctuations become small; the governing one first.

        For an output that saturates that is margin -> infinity, by symmetry the same for both classes of an odd
        activation.
        """
        if self.activation.bounded:
            return self.sides(t)[:1]
        small = tuple(side for side in self.sides(t) if side.side == "small")
        return small or (Asymptote(None, None, "constant", "everywhere", side="constant"),)

    def asymptotic(self, t: float = 1) -> Asymptote:
        """Limit of kappa at margin -> infinity; for a linear output whose error does not decay, at its zero."""
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

    def _state(self, y: Array, t: Array) -> "_State":
        """Distances at which the loss is evaluated, and the forms that hold on either side of the target."""
        y, t = _together(y, self._checked_target(t))
        if not self.activation.bounded:
            value = self.activation(y)
            difference = value - t
            distances = {log_residual: _log_abs(difference)}
            if self.loss.formula is not None:
                distances |= {output: value, target: t}
            return _State(y, sign_of(difference), distances, (self.loss.forms(-1), self.loss.forms(1)))
        lower, upper = self.activation.range
        upper_gap, lower_gap = self.activation.log_gaps(y)
        true = t > 0
        near, far = choose(true, upper_gap, lower_gap), choose(true, lower_gap, upper_gap)
        width = near * 0.0 + float(np.log(upper - lower))
        distances = {log_residual: near, log_opposite: far, log_width: width}
        return _State(y, -t, distances, (self.loss.forms(-1, (upper, lower)), self.loss.forms(1, (lower, upper))))


@dataclass(frozen=True, eq=False)
class _State:
    """Outputs as a loss sees them: logarithmic distances, the side of the target, and the forms for each side."""

    y: Array
    side: Array
    distances: dict[sp.Symbol, Array]
    forms: tuple[LossForms, LossForms]

    def evaluated(self, form_of: Callable[[LossForms], sp.Expr]) -> Array:
        """Value of a form, from the side that each output is on."""
        below, above = (form_of(forms) for forms in self.forms)
        value = evaluate(below, self.distances)
        return value if below == above else choose(self.side < 0, value, evaluate(above, self.distances))

    def partial(self, *symbols: sp.Symbol) -> Array | None:
        """Derivative of ``ln|dH/df|`` with respect to distances; None where it is zero identically."""
        if all(derivative(forms.log_derivative, *symbols) == 0 for forms in self.forms):
            return None
        return self.evaluated(lambda forms: derivative(forms.log_derivative, *symbols))

    def slope_sign(self) -> Array:
        """Sign of ``dH/df``."""
        if all(forms.slope is None for forms in self.forms):
            return self.side
        below, above = (
            sign_of(evaluate(forms.slope, self.distances)) if forms.slope is not None else side * (self.side * 0 + 1)
            for side, forms in zip((-1, 1), self.forms, strict=True)
        )
        return choose(self.side < 0, below, above)


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

"""Composition of an output activation and a loss, evaluated by the logarithm ``lambda`` of its error signal."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from critlearn.compositions.activation import Activation
from critlearn.compositions.catalogue.activations import ACTIVATIONS
from critlearn.compositions.catalogue.losses import find_loss, loss_names
from critlearn.compositions.error_signal import State, checked_target, state_of
from critlearn.compositions.loss import Loss
from critlearn.compositions.symbolic.evaluation import exp
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of
from critlearn.compositions.tails.all_asymptotes import all_asymptotes
from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.compositions.tails.singularities import singular_places
from critlearn.compositions.typed.coerce import ActivationLike, LossLike, as_activation, as_loss
from critlearn.compositions.value_and_error import value_and_error
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
        # The dataclass is frozen: its own __init__ has to bypass the ban on assignment.
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

    def _state(self, y: Array, t: Array) -> State:
        return state_of(self.activation, self.loss, y, t)

    def value(self, y: Array, t: Array) -> Array:
        """Loss ``H(f(y), t)``, from double precision, in the dtype of ``y``; shapes of ``y`` and ``t`` broadcast."""
        # In single precision a distance from the target underflows at margins of 100, and its logarithm is lost.
        state = self._state(_double(y), t)
        return _cast(state.evaluated(lambda forms: forms.value), y)

    def log_error_signal(self, y: Array, t: Array = 1) -> Array:
        """``lambda(y) = ln|dh/dy|``; ``-inf`` where the error is exactly zero."""
        return self._state(y, t).log_error()

    def log_error_derivatives(self, y: Array, t: Array = 1) -> tuple[Array, Array]:
        """First and second derivative of ``lambda`` with respect to the pre-activation.

        By the chain rule, with ``d ln|f - t| / dy = sign(f - t) exp(ln f' - ln|f - t|)`` formed from logarithms.
        """
        return self._state(y, t).derivatives()

    def output_error(self, y: Array, t: Array) -> Array:
        """Output error ``dh/dy``, tail-exact: shape of ``y`` and ``t`` broadcast, dtype of ``y``.

        It is zero only where the true value is below the smallest number of the dtype; `log_output_error` has
        no such bound.
        """
        sign, log_size = self.log_output_error(y, t)
        return _cast(sign * exp(log_size), y)

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the output error ``dh/dy`` and ``ln|dh/dy|``, in double precision."""
        # In double precision, whatever the precision of the outputs.
        state = self._state(_double(y), t)
        return state.sign(), state.log_error()

    def value_and_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Loss and output error, as `value` and `output_error`, of one evaluation in double precision."""
        return value_and_error(self.activation, self.loss, _double(y), t)

    def intrinsic_exponent(self, y: Array, t: Array = 1) -> Array:
        """``kappa = 1 + lambda'' / lambda'^2``: the exponent that the composition alone gives at ``y``.

        Infinite at a caustic (``lambda' = 0``), NaN where the error signal is constant.
        """
        first, second = self.log_error_derivatives(y, t)
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 + second / first**2

    def all_asymptotes(self, t: float = 1) -> tuple[Asymptote, ...]:
        """Limits of kappa at both ends of the line and at the zeros and poles of the error signal.

        The governing one comes first: where fluctuations become small.

        Raises
        ------
        InvalidInputError
            If the target is not finite, or no class of an activation that saturates.
        """
        t = _finite_target(t)
        if self.activation.bounded:
            t = float(np.asarray(checked_target(self.activation, self.loss, t)))
        return all_asymptotes(self.activation, self.loss, t)

    def singular_points(self, t: float = 1) -> tuple[float, ...]:
        """Pre-activations at which the error signal vanishes or diverges, and 0, at which its forms are joined."""
        # 0 is where the forms for y < 0 and y >= 0 meet, and |y| may have a kink.
        return tuple(sorted({0.0, *singular_places(self.activation, self.loss, _finite_target(t))}))

    def asymptotes(self, t: float = 1) -> tuple[Asymptote, ...]:
        """Limits of kappa where fluctuations become small; the governing one first.

        For an output that saturates that is margin -> infinity, by symmetry the same for both classes of an odd
        activation.
        """
        if self.activation.bounded:
            return self.all_asymptotes(t)[:1]
        small = tuple(one for one in self.all_asymptotes(t) if one.fluctuations == "small")
        return small or (Asymptote(None, None, "constant", "everywhere", fluctuations="constant"),)

    def asymptotic(self, t: float = 1) -> Asymptote:
        """Limit of kappa at margin -> infinity; for a linear output whose error does not decay, at its zero."""
        return self.asymptotes(t)[0]

    def exact_exponent(self) -> Fraction | None:
        """Asymptotic exponent as a fraction; None where it is no rational number or not known exactly."""
        exact = self.asymptotic().exact
        return None if exact is None else Fraction(exact)


def _finite_target(t: float) -> float:
    if not math.isfinite(t):
        raise InvalidInputError(f"the target must be finite; got {t}")
    return float(t)


def _fits(activation: Activation, loss_name: str) -> bool:
    """Whether a catalogue loss can follow the activation."""
    return loss_name == "power:p" or activation.bounded or not find_loss(loss_name).needs_saturation


def _double(y: Array) -> Array:
    return y.double() if library_of(y) == "torch" else y


def _cast(value: Array, like: Array) -> Array:
    return value.to(like.dtype) if library_of(like) == "torch" and like.is_floating_point() else value

"""Inverse design: from an exponent to the loss or the activation that has it."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from critlearn.compositions import Activation, Composition, Loss, OutputLoss
from critlearn.compositions.loss import log_residual
from critlearn.compositions.symbolic.functions import Array, y
from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.compositions.typed.coerce import ActivationLike, LossLike, as_activation, as_loss
from critlearn.errors import InvalidInputError
from critlearn.inverse_design.margin_loss import QMarginLoss, check_exponent
from critlearn.inverse_design.tempered import TemperedSoftmax
from critlearn.results import Result

_FAR: Final = np.geomspace(30.0, 1e6, 400)
_MARGINS: Final = np.concatenate([-_FAR[::-1], np.linspace(-30.0, 30.0, 6001)[1:-1], _FAR])
_PLACES: Final = np.sinh(np.linspace(-4.0, 4.0, 401))
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class Design(Result):
    """A loss, or an activation for a loss, with a chosen exponent.

    Parameters
    ----------
    exponent
        What was asked for.
    output_loss
        Loss of pre-activations with that exponent: train and measure with it.
    activation
        The activation, given or designed; None if the loss acts on the pre-activation itself.
    formula
        In words of mathematics.
    convex
        Whether the loss is convex in the output of the activation; None where that was not asked.
    remarks
        What one should know, one sentence each.
    """

    exponent: float
    output_loss: OutputLoss
    activation: Activation | None
    formula: str
    convex: bool | None = None
    remarks: tuple[str, ...] = ()

    def asymptotic(self) -> Asymptote:
        """Limit of kappa, from the designed object itself."""
        return self.output_loss.asymptotic()  # type: ignore[attr-defined]

    def loss_module(self) -> Any:
        """The loss as `torch.nn.Module`: mean over pre-activations and targets, with tail-exact gradients."""
        from critlearn.inverse_design.modules import DesignedLoss

        return DesignedLoss(self.output_loss, self.formula)

    def activation_module(self) -> Any:
        """The designed activation as `torch.nn.Module`.

        Raises
        ------
        InvalidInputError
            If the design has none.
        """
        if self.activation is None:
            raise InvalidInputError("this design acts on the pre-activation itself: it has no activation")
        from critlearn.network.modules import ActivationModule

        return ActivationModule(self.activation)

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values."""
        asymptote = self.asymptotic()
        return {
            "exponent": self.exponent,
            "exact": asymptote.exact,
            "fluctuations": asymptote.fluctuations,
            "tail": asymptote.tail,
            "location": asymptote.location,
            "loss": self.output_loss.name,
            "activation": None if self.activation is None else self.activation.name,
            "formula": self.formula,
            "convex": self.convex,
            "remarks": list(self.remarks),
        }

    def summary(self) -> str:
        """A line for the formula and one for each remark."""
        return "\n".join([f"exponent {self.exponent:g}: {self.formula}", *self.remarks])


def design(
    exponent: float,
    *,
    activation: ActivationLike | None = None,
    loss: LossLike | None = None,
    classes: int | None = None,
) -> Design:
    """Loss, or activation, with a given exponent.

    Parameters
    ----------
    exponent
        k, from -2 to 3.
    activation
        With an activation ``f``, the loss is ``H(f) = h(f^-1(f))``.
    loss
        With a loss ``H``, the activation is ``f = H^-1(h)``.
    classes
        With a number of classes above 2, the tempered softmax with its matching loss.

    Raises
    ------
    InvalidInputError
        If there is none, saying why.

    >>> design(1.5, loss="mse").asymptotic().exact
    '3/2'
    """
    check_exponent(exponent)
    given = [name for name, value in (("activation", activation), ("loss", loss), ("classes", classes)) if value]
    if len(given) > 1:
        raise InvalidInputError(f"a design takes one of activation, loss and classes; got {' and '.join(given)}")
    if classes is not None:
        return _for_classes(exponent, classes)
    if activation is not None:
        return _loss_for(exponent, as_activation(activation))
    if loss is not None:
        return _activation_for(exponent, as_loss(loss))
    margin_loss = QMarginLoss(exponent)
    return Design(exponent, margin_loss, None, margin_loss.formula, True, _remarks(exponent))


def _remarks(exponent: float) -> tuple[str, ...]:
    remarks = []
    if exponent < 1:
        remarks.append(f"fluctuations are exactly zero beyond the margin {1 / (1 - exponent):g}")
    if exponent >= 2:
        remarks.append("the loss has no lower bound: it falls for ever, as its slope is not integrable")
    return tuple(remarks)


def _for_classes(exponent: float, classes: int) -> Design:
    if classes < 2:
        raise InvalidInputError(f"a tempered softmax needs two classes or more; got {classes}")
    if exponent <= 0:
        raise InvalidInputError(
            f"a tempered softmax has exponents above 0; got {exponent}: e_q with q <= 0 does not give every class its "
            "share continuously"
        )
    loss = TemperedSoftmax(exponent)
    return Design(exponent, loss, None, loss.formula, True, _remarks(exponent))


@dataclass(frozen=True)
class MatchedLoss:
    """Loss ``H(f) = h(f^-1(f))`` of an activation's output, evaluated by its pre-activation: error ``e_q(-m)``.

    It satisfies the protocol `OutputLoss`; nothing is inverted in training.
    """

    activation: Activation
    margin_loss: QMarginLoss

    @property
    def name(self) -> str:
        """Name such as ``tanh+q-margin:1.5``."""
        return f"{self.activation.name}+{self.margin_loss.name}"

    @property
    def class_targets(self) -> bool:
        """False: targets are -1 and +1."""
        return False

    def value(self, y: Array, t: Array) -> Array:
        """Loss of each output."""
        return self.margin_loss.value(y, t)

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of ``dh/dy`` and ``ln|dh/dy|``."""
        return self.margin_loss.log_output_error(y, t)

    def output_error(self, y: Array, t: Array) -> Array:
        """``dh/dy``."""
        return self.margin_loss.output_error(y, t)

    def asymptotic(self) -> Asymptote:
        """Limit of kappa."""
        return self.margin_loss.asymptotic()

    def on_output(self, output: np.ndarray, t: np.ndarray) -> np.ndarray:
        """``H(f, t)`` of outputs themselves, by inverting the activation (bisection, margins up to 1e6).

        Raises
        ------
        InvalidInputError
            If an output is outside the range of the activation.
        """
        lower, upper = self.activation.range
        if not bool(((output > lower) & (output < upper)).all()):
            raise InvalidInputError(f"outputs must be inside the range ({lower:g}, {upper:g}) of the activation")
        low, high = np.full(np.shape(output), -1e6), np.full(np.shape(output), 1e6)
        for _ in range(100):
            middle = 0.5 * (low + high)
            below = self.activation(middle) < output
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(self.value(0.5 * (low + high), t))


def _loss_for(exponent: float, activation: Activation) -> Design:
    if not _strictly_increasing(activation):
        raise InvalidInputError(
            f'activation "{activation.name}" is not strictly increasing: the margin cannot be read off its output, so '
            "that no loss of the output has this exponent"
        )
    margin_loss = QMarginLoss(exponent)
    formula = f"H(f) = h(m), m = f^-1(f) of {activation.name}, {margin_loss.formula}"
    reason = _why_not_convex(activation, margin_loss)
    remarks = _remarks(exponent) + (() if reason is None else (reason,))
    return Design(exponent, MatchedLoss(activation, margin_loss), activation, formula, reason is None, remarks)


def _strictly_increasing(activation: Activation) -> bool:
    """Whether the slope is nowhere negative, and zero at single places at most; by logarithms, as slopes underflow."""
    with np.errstate(all="ignore"):
        signs = np.broadcast_to(activation.slope_sign(_PLACES), _PLACES.shape)
        flat = np.isneginf(activation.log_slope(_PLACES)) | (signs == 0)
    return bool((signs >= 0).all() and not (flat[1:] & flat[:-1]).any())


def _why_not_convex(activation: Activation, loss: QMarginLoss) -> str | None:
    """Reason why a loss of the margin is not convex in the output of an activation; None if it is.

    ``H' = -g / f'`` grows with ``f`` exactly where ``ln g - ln f'`` does not grow with the margin, for both classes:
    ``f'`` is taken at ``y = m`` for the one and at ``y = -m`` for the other.
    """
    log_error = loss.log_error_signal(_MARGINS)
    for t in (1, -1):
        with np.errstate(all="ignore"):
            log_slope = np.asarray(activation.log_slope(t * _MARGINS))
            size = np.maximum(np.abs(log_error), np.abs(log_slope))
            ratio = log_error - log_slope
            grows = np.diff(ratio) > _ROUNDING * np.maximum(1.0, np.maximum(size[1:], size[:-1]))
        if grows.any():
            margin = float(_MARGINS[1:][grows][np.argmin(np.abs(_MARGINS[1:][grows]))])
            where = f"at the margin {margin:.3g} of the class {t:+d}, for one"
            if loss.exponent > 1 and ratio[-1] - ratio[_MARGINS.searchsorted(1e3)] > 1:
                return (
                    f'no loss with this exponent is convex in the output of "{activation.name}": for the class {t:+d} '
                    "the activation's slope falls faster than any error signal that has it"
                )
            if margin <= loss.softening:
                return (
                    f'the loss is not convex in the output of "{activation.name}": {where}, where it goes on as a '
                    "straight line in the pre-activation while the activation's slope falls"
                )
            return (
                f'the loss is not convex in the output of "{activation.name}": {where}, the activation\'s slope falls '
                "faster than the error signal"
            )
    return None


def _activation_for(exponent: float, loss: Loss) -> Design:
    if exponent >= 2:
        raise InvalidInputError(
            f"no activation gives a finite loss the exponent {exponent:g}: the error signal m^-{1 / (exponent - 1):g} "
            "is not integrable, so that the loss would have to fall below every bound (exponents below 2 can be had)"
        )
    if exponent < 1:
        raise InvalidInputError(
            f"no strictly increasing activation has the exponent {exponent:g}: the error signal vanishes beyond the "
            f"margin {1 / (1 - exponent):g}, where the activation would be constant; "
            "exponents from 1 to below 2 can be had"
        )
    q = sp.nsimplify(exponent, rational=True)
    log_e = -y if q == 1 else -log1p((q - 1) * y) / (q - 1)
    residual_power = sp.diff(sp.expand_log(sp.log(loss.value), force=True), log_residual)
    if loss.name == "bce":
        activation = _for_cross_entropy(q, log_e, exponent)
    elif residual_power.is_number and residual_power.is_positive and not loss.needs_saturation:
        activation = _for_power(q, log_e, residual_power, exponent)
    else:
        raise InvalidInputError(
            f'an activation can be designed for the losses bce, mse, mae and power:p; got "{loss.name}", which cannot '
            "be inverted in closed form"
        )
    composition = Composition(activation, loss)
    remark = "the exponent holds for positive margins; for negative ones symmetry makes another error signal"
    formula = f"f(y) = sign(y) ({activation.value}), y = |y|, with loss {loss.name}"
    return Design(exponent, composition, activation, formula, True, (remark,))


def _for_power(q: sp.Expr, log_e: sp.Expr, power: sp.Expr, exponent: float) -> Activation:
    """``f = 1 - e_q(-m)^a``, ``a = (2 - q)/p``: then ``(1 - f)^p`` falls as ``e_q^(2 - q)``, with slope ``e_q``."""
    a = (2 - q) / power
    return Activation(
        f"design:{exponent:g},power:{power}",
        range=(-1.0, 1.0),
        value=-expm1(a * log_e),
        log_derivative=sp.log(a) + (a - 1 + q) * log_e,
        log_upper_gap=a * log_e,
        log_lower_gap=sp.log(2 - sp.exp(a * log_e)),
    )


def _for_cross_entropy(q: sp.Expr, log_e: sp.Expr, exponent: float) -> Activation:
    """``f = 2 exp(-ln 2 e_q(-m)^(2-q)) - 1``: then ``-ln((1 + f)/2) = ln 2 e_q^(2-q)``."""
    loss = sp.log(2) * sp.exp((2 - q) * log_e)
    return Activation(
        f"design:{exponent:g},bce",
        range=(-1.0, 1.0),
        value=2 * sp.exp(-loss) - 1,
        log_derivative=sp.log(2 * sp.log(2) * (2 - q)) - loss + log_e,
        log_upper_gap=sp.log(2) + sp.log(-expm1(-loss)),
        log_lower_gap=sp.log(2) - loss,
    )

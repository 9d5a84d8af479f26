"""Inverse design: construct a loss or an activation with a chosen exponent."""

from dataclasses import dataclass
from typing import Any

import sympy as sp

from critlearn.compositions import Activation, Composition, Loss, OutputLoss
from critlearn.compositions.catalogue.activations import SOFTMAX
from critlearn.compositions.loss import log_residual
from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.compositions.typed.coerce import ActivationLike, LossLike, as_activation, as_loss
from critlearn.errors import InvalidInputError
from critlearn.inverse_design.margin_loss import QMarginLoss, check_exponent
from critlearn.inverse_design.matched_activation import activation_for_cross_entropy, activation_for_power
from critlearn.inverse_design.matched_loss import MatchedLoss, is_strictly_increasing, why_not_convex
from critlearn.inverse_design.tempered_softmax import TemperedSoftmax
from critlearn.numerics.validation import check_integer
from critlearn.results import Result


@dataclass(frozen=True, eq=False, repr=False)
class Design(Result):
    """Designed loss, or designed activation for a loss, with a chosen exponent.

    Parameters
    ----------
    exponent
        The chosen exponent.
    output_loss
        Loss of pre-activations with that exponent: train and measure with it.
    activation
        The activation, passed or designed; None if the loss acts on the pre-activation itself.
    formula
        The loss or the activation as a formula.
    convex
        Whether the loss is convex in the output of the activation; None where that was not asked.
    remarks
        Limitations of the design, one sentence each.
    """

    exponent: float
    output_loss: OutputLoss
    activation: Activation | None
    formula: str
    convex: bool | None = None
    remarks: tuple[str, ...] = ()

    def asymptotic(self) -> Asymptote:
        """Limit of the intrinsic exponent, computed from the designed loss itself."""
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
        """Exponent, tail and limit, names instead of objects, formula and remarks, as plain values."""
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
        """One line for the formula and one for each remark."""
        return "\n".join([f"exponent {self.exponent:g}: {self.formula}", *self.remarks])


def design(
    exponent: float,
    *,
    activation: ActivationLike | None = None,
    loss: LossLike | None = None,
    classes: int | None = None,
) -> Design:
    """Design a loss, or an activation, with a chosen exponent.

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
        If there is no such loss or activation; the message says why.

    >>> design(1.5, loss="mse").asymptotic().exact
    '3/2'
    """
    check_exponent(exponent)
    chosen = [
        name for name, value in (("activation", activation), ("loss", loss), ("classes", classes)) if value is not None
    ]
    if len(chosen) > 1:
        raise InvalidInputError(f"a design takes one of activation, loss and classes; got {' and '.join(chosen)}")
    if classes is not None:
        return _for_classes(exponent, classes)
    if isinstance(activation, str) and activation == SOFTMAX:
        raise InvalidInputError(
            "softmax and its loss are designed together: give a number of classes in place of an activation"
        )
    if activation is not None:
        return _loss_for(exponent, as_activation(activation))
    if loss is not None:
        return _activation_for(exponent, as_loss(loss))
    margin_loss = QMarginLoss(exponent)
    return Design(exponent, margin_loss, None, margin_loss.formula, True, _remarks(exponent))


def _remarks(exponent: float) -> tuple[str, ...]:
    """Limitations that every loss with this exponent has."""
    remarks = []
    if exponent < 1:
        remarks.append(f"fluctuations are exactly zero beyond the margin {1 / (1 - exponent):g}")
    if exponent >= 2:
        remarks.append("the loss has no lower bound: it falls for ever, as its slope is not integrable")
    return tuple(remarks)


def _for_classes(exponent: float, classes: int) -> Design:
    check_integer("classes", classes)
    if classes < 2:
        raise InvalidInputError(f"a tempered softmax needs two classes or more; got {classes}")
    if exponent <= 0:
        raise InvalidInputError(
            f"a tempered softmax has exponents above 0; got {exponent}: e_q with q <= 0 does not give every class its "
            "share continuously"
        )
    loss = TemperedSoftmax(exponent)
    return Design(exponent, loss, None, loss.formula, True, _remarks(exponent))


def _loss_for(exponent: float, activation: Activation) -> Design:
    if not is_strictly_increasing(activation):
        raise InvalidInputError(
            f'activation "{activation.name}" is not strictly increasing: the margin cannot be read off its output, so '
            "that no loss of the output has this exponent"
        )
    margin_loss = QMarginLoss(exponent)
    formula = f"H(f) = h(m), m = f^-1(f) of {activation.name}, {margin_loss.formula}"
    reason = why_not_convex(activation, margin_loss)
    remarks = _remarks(exponent) + (() if reason is None else (reason,))
    return Design(exponent, MatchedLoss(activation, margin_loss), activation, formula, reason is None, remarks)


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
    # d ln H / d ln|f - t| is a number p exactly for H = c |f - t|^p, which can be inverted.
    residual_power = sp.diff(sp.expand_log(sp.log(loss.value), force=True), log_residual)
    if loss.name == "bce":
        activation = activation_for_cross_entropy(exponent)
    elif residual_power.is_number and residual_power.is_positive and not loss.needs_saturation:
        activation = activation_for_power(exponent, residual_power)
    else:
        raise InvalidInputError(
            f'an activation can be designed for the losses bce, mse, mae and power:p; got "{loss.name}", which cannot '
            "be inverted in closed form"
        )
    composition = Composition(activation, loss)
    remark = "the exponent holds for positive margins; for negative ones symmetry makes another error signal"
    formula = f"f(y) = sign(y) ({activation.value}), y = |y|, with loss {loss.name}"
    return Design(exponent, composition, activation, formula, True, (remark,))

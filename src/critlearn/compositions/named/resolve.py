"""Resolver of compositions: the composition of an activation and a loss given by name, expression or callable."""

from dataclasses import replace
from typing import Final, TypeVar

from critlearn.compositions.catalogue.activations import ACTIVATIONS, SOFTMAX
from critlearn.compositions.catalogue.losses import CROSS_ENTROPY, LOSSES
from critlearn.compositions.composition import Composition
from critlearn.compositions.output_loss import OutputLoss
from critlearn.compositions.softmax.cross_entropy import SoftmaxCrossEntropy
from critlearn.compositions.typed.coerce import ActivationLike, LossLike
from critlearn.errors import InvalidInputError

_Signal = TypeVar("_Signal")

_OF_MARGIN: Final = Composition(
    replace(ACTIVATIONS["sigmoid"], name=SOFTMAX), replace(LOSSES["bce"], name=CROSS_ENTROPY)
)
"""The error of the true class, ``1 - p_t``, is the logistic function of minus its margin."""


def with_partner(activation: str | None, loss: str | None) -> tuple[str, str]:
    """Activation and loss where one or both are left out: softmax goes with cross-entropy; sigmoid, bce are defaults.

    >>> with_partner("softmax", None), with_partner(None, "mse")
    (('softmax', 'cross-entropy'), ('sigmoid', 'mse'))
    """
    if activation is None:
        activation = SOFTMAX if loss == CROSS_ENTROPY else "sigmoid"
    if loss is None:
        loss = CROSS_ENTROPY if activation == SOFTMAX else "bce"
    return activation, loss


def composition_of(activation: ActivationLike, loss: LossLike) -> Composition | SoftmaxCrossEntropy:
    """Return the composition of an activation and a loss, each a name, an expression, an object or a callable.

    The names ``softmax`` and ``cross-entropy`` together give `SoftmaxCrossEntropy`.

    Raises
    ------
    InvalidInputError
        If a name is unknown, an expression cannot be used, or the two do not fit.

    >>> composition_of("softmax", "cross-entropy").name, composition_of("y/(1+abs(y))", "mse").asymptotic().exact
    ('softmax+cross-entropy', '4/3')
    """
    if isinstance(activation, str) and isinstance(loss, str) and (activation, loss) == (SOFTMAX, CROSS_ENTROPY):
        return SoftmaxCrossEntropy()
    return Composition(activation, loss)


def margin_composition(composition: OutputLoss) -> Composition:
    """Return the composition of one variable that predicts the errors of a loss.

    For softmax this is the logistic composition of the margin of the true class.

    Raises
    ------
    InvalidInputError
        If the errors of a loss depend on more than one number.
    """
    if isinstance(composition, SoftmaxCrossEntropy):
        return _OF_MARGIN
    if isinstance(composition, Composition):
        return composition
    raise InvalidInputError(f"the errors of {composition.name} are not those of one number")


def signal_of(loss: _Signal | SoftmaxCrossEntropy) -> _Signal | Composition:
    """Return what has an error signal of one variable: of softmax that of its margin, any other as it is."""
    return _OF_MARGIN if isinstance(loss, SoftmaxCrossEntropy) else loss

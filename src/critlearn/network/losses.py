"""Torch's own losses, replaced by equivalents whose output errors are exact in the tail."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from torch import Tensor, nn

from critlearn.compositions import (
    Composition,
    OutputLoss,
    SoftmaxCrossEntropy,
    SoftTargetCrossEntropy,
    TokenCrossEntropy,
)
from critlearn.compositions.averaged import Averaged, Huber
from critlearn.errors import InvalidInputError
from critlearn.network.checks.hooks import hooked
from critlearn.network.modules import ActivationModule

_SATURATING: Final[dict[type[nn.Module], str]] = {nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.Softsign: "softsign"}
"""Last activations that become part of the loss if the targets are the values at which they saturate."""

_BEHIND_ACTIVATION: Final = {nn.MSELoss: "mse", nn.L1Loss: "mae", nn.BCELoss: "bce"}
"""Losses that such an activation may be merged with, and their names in the catalogue."""


def _cross_entropy(loss: Any) -> OutputLoss:
    _refuse(
        loss,
        weight=loss.weight is not None,
        label_smoothing=loss.label_smoothing > 0,
        # A negative index names no class, and targets that have it are refused as invalid classes.
        ignore_index=loss.ignore_index >= 0,
    )
    return SoftmaxCrossEntropy()


def _logistic(loss: Any) -> OutputLoss:
    _refuse(loss, weight=loss.weight is not None, pos_weight=getattr(loss, "pos_weight", None) is not None)
    return Composition("sigmoid", "bce")


def _smooth(loss: Any) -> OutputLoss:
    return Huber(loss.beta, 1 / loss.beta) if loss.beta > 0 else Composition("identity", "mae")


_EQUIVALENTS: Final[dict[type[nn.Module], Callable[[Any], OutputLoss]]] = {
    nn.CrossEntropyLoss: _cross_entropy,
    nn.BCEWithLogitsLoss: _logistic,
    nn.MultiLabelSoftMarginLoss: _logistic,
    nn.SoftMarginLoss: lambda _: Composition("sigmoid", "bce"),
    nn.MSELoss: lambda _: Composition("identity", "mse"),
    nn.L1Loss: lambda _: Composition("identity", "mae"),
    nn.HuberLoss: lambda loss: Huber(loss.delta),
    nn.SmoothL1Loss: _smooth,
}


def takes_tokens(loss: object) -> bool:
    """Whether a loss has a form for a class index at each position of a sequence."""
    return isinstance(loss, nn.CrossEntropyLoss | SoftmaxCrossEntropy | TokenCrossEntropy)


def exact_system(
    model: nn.Module, loss: OutputLoss | nn.Module, targets: Iterable[Tensor], output: Callable[[], Any]
) -> tuple[nn.Module, OutputLoss]:
    """Return an equivalent network and loss whose output errors are tail-exact.

    A critlearn loss is kept, except that softmax with cross-entropy becomes `SoftTargetCrossEntropy` if targets are
    probabilities of shape (batch, classes). Torch's losses are replaced; a loss that is a mean over outputs remains
    one. If the network is a sequence that ends in a saturating activation, and the targets are the values at which it
    saturates, the activation becomes part of the loss: otherwise ``tanh(y) - 1`` would be 0 from y = 19 on.

    Parameters
    ----------
    targets
        Targets in batches; all are looked at only where the values of all matter.
    output
        Gives the output of the network for some of the first samples.

    Raises
    ------
    InvalidInputError
        If there is no equivalent.
    """
    if takes_tokens(loss):
        tokens = _for_tokens(loss, next(iter(targets)), output)
        if tokens is not None:
            return model, tokens
    if not isinstance(loss, nn.Module):
        return model, for_targets(loss, next(iter(targets)))
    activation = _last_activation(model)
    name = _BEHIND_ACTIVATION.get(type(loss))
    # Binary cross-entropy takes logarithms of probabilities, so it fits the sigmoid only.
    fitting = activation == "sigmoid" or (activation is not None and name != "bce")
    if activation is not None and name is not None and fitting and _saturates(activation, targets):
        _refuse(loss, weight=getattr(loss, "weight", None) is not None)
        assert isinstance(model, nn.Sequential)
        shortened = model[:-1]
        shortened.training = model.training
        return shortened, _reduced(loss, Composition(activation, name))
    if type(loss) not in _EQUIVALENTS:
        allowed = ", ".join(sorted(kind.__name__ for kind in _EQUIVALENTS))
        raise InvalidInputError(
            f"{type(loss).__name__} has no tail-exact equivalent here; allowed: critlearn's losses, {allowed}, and "
            "MSELoss and L1Loss behind a last Tanh, Sigmoid or Softsign, and BCELoss behind a last Sigmoid, "
            "without hooks and with targets at its ends"
        )
    if isinstance(loss, nn.SoftMarginLoss):
        _check_signs(targets)
    exact = for_targets(_EQUIVALENTS[type(loss)](loss), next(iter(targets)))
    return model, exact if isinstance(exact, SoftTargetCrossEntropy) else _reduced(loss, exact)


def _for_tokens(loss: Any, targets: Tensor, output: Callable[[], Any]) -> OutputLoss | None:
    """Form of cross-entropy for a class index at each position of a sample; None if there is one for each sample."""
    if targets.is_floating_point() or targets.dim() < 2:
        return None
    y = output()
    if not isinstance(y, Tensor) or y.dim() != targets.dim() + 1:
        return None
    # Torch has classes in the second dimension, models of sequences in the last; where both fit, torch's order holds
    # but for a model whose own output is named, which is none of torch's.
    last, second = y.shape[1:-1] == targets.shape[1:], y.shape[2:] == targets.shape[1:]
    if not (last or second):
        raise InvalidInputError(
            f"outputs of shape {tuple(y.shape[1:])} and targets of shape {tuple(targets.shape[1:])} of a sample do not "
            "fit: cross-entropy of tokens takes outputs (sample, token, class) or (sample, class, token), and targets "
            "(sample, token)"
        )
    if isinstance(loss, TokenCrossEntropy):
        return loss
    if isinstance(loss, SoftmaxCrossEntropy):
        return TokenCrossEntropy(classes_last=last)
    _refuse(loss, weight=loss.weight is not None, label_smoothing=loss.label_smoothing > 0)
    return TokenCrossEntropy(loss.ignore_index, mean=loss.reduction == "mean", classes_last=last)


def for_targets(loss: OutputLoss, targets: Tensor) -> OutputLoss:
    """Return the loss in the form for these targets: softmax has one of its own for probabilities."""
    soft = isinstance(loss, SoftmaxCrossEntropy) and targets.is_floating_point() and targets.dim() == 2
    return SoftTargetCrossEntropy() if soft and targets.shape[1] > 1 else loss


def _reduced(loss: Any, single: OutputLoss) -> OutputLoss:
    """Loss of one sample: mean over its outputs if torch's loss is a mean, otherwise their sum."""
    # MultiLabelSoftMarginLoss: its reduction is over samples only; over classes it is always a mean.
    mean = loss.reduction == "mean" or isinstance(loss, nn.MultiLabelSoftMarginLoss)
    return Averaged(single) if mean and not single.class_targets else single


def _last_activation(model: nn.Module) -> str | None:
    """Catalogue name of a saturating activation at the end of a sequence without hooks; None for other networks."""
    if type(model) is not nn.Sequential or len(model) < 2 or hooked(model) or hooked(model[-1]):
        return None
    last = model[-1]
    if isinstance(last, ActivationModule):
        return last.activation.name if last.activation.bounded else None
    return _SATURATING.get(type(last))


def _saturates(activation: str, targets: Iterable[Tensor]) -> bool:
    """Whether all targets are values at which the activation saturates."""
    lower = 0 if activation == "sigmoid" else -1
    return all(bool(((part == lower) | (part == 1)).all()) for part in targets)


def _check_signs(targets: Iterable[Tensor]) -> None:
    """Raise if a target is not -1 or +1: torch's soft margin loss is constant for a target of 0."""
    for part in targets:
        others = part[(part != -1) & (part != 1)]
        if len(others):
            raise InvalidInputError(
                f"targets of SoftMarginLoss are the classes -1 and +1; got {float(others[0]):g}: give 2 * t - 1 for "
                "classes 0 and 1"
            )


def _refuse(loss: nn.Module, **features: bool) -> None:
    """Raise if the loss uses a feature that changes its output errors and has no equivalent here."""
    for name, used in features.items():
        if used:
            raise InvalidInputError(f"{type(loss).__name__} with {name} has no tail-exact equivalent: leave it out")

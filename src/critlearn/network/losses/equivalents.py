"""Torch's own losses, replaced by equivalents whose output errors are exact in the tail."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor, nn

from critlearn.compositions import (
    Averaged,
    Composition,
    Huber,
    OutputLoss,
    SoftmaxCrossEntropy,
    SoftTargetCrossEntropy,
    TokenCrossEntropy,
)
from critlearn.compositions.softmax.weighted import KullbackLeibler, WeightedCrossEntropy
from critlearn.compositions.torch_losses.log_probabilities import LogDivergence, NegativeLogLikelihood
from critlearn.compositions.torch_losses.poisson import PoissonCounts
from critlearn.compositions.torch_losses.weighted_logistic import WeightedLogistic
from critlearn.errors import InvalidInputError
from critlearn.network.checks.hooks import hooked
from critlearn.network.losses.differentiated import by_function
from critlearn.network.modules import ActivationModule

_SATURATING: Final[dict[type[nn.Module], str]] = {nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.Softsign: "softsign"}
"""Last activations that become part of the loss if the targets are the values at which they saturate."""

_BEHIND_ACTIVATION: Final = {nn.MSELoss: "mse", nn.L1Loss: "mae", nn.BCELoss: "bce"}
"""Losses that such an activation may be merged with, and their names in the catalogue."""


def _cross_entropy(loss: Any, output: Tensor) -> OutputLoss:
    # A negative index names no class, and targets that have it are refused as invalid classes.
    _refuse(loss, ignore_index=loss.ignore_index >= 0)
    return _of_one_class(loss, output.shape[1])


def _of_one_class(loss: Any, classes: int) -> OutputLoss:
    """Cross-entropy of one class, of a sample or a position."""
    weights = None if loss.weight is None else tuple(loss.weight.double().tolist())
    if weights is not None and len(weights) != classes:
        raise InvalidInputError(
            f"weight of {type(loss).__name__} must have one number for each of {classes} classes; got {len(weights)}"
        )
    if isinstance(loss, nn.NLLLoss):
        return NegativeLogLikelihood(weights)
    smoothing = loss.label_smoothing
    if weights is None and not smoothing:
        return SoftmaxCrossEntropy()
    return WeightedCrossEntropy(weights, smoothing)


def _logistic(loss: Any, output: Tensor) -> OutputLoss:
    parts = {"weight": loss.weight, "pos_weight": getattr(loss, "pos_weight", None)}
    if all(part is None for part in parts.values()):
        return Composition("sigmoid", "bce")
    found = []
    for name, part in parts.items():
        try:
            whole = torch.ones(()) if part is None else part.detach()
            found.append(tuple(torch.broadcast_to(whole, output.shape[1:]).double().flatten().tolist()))
        except RuntimeError as problem:
            raise InvalidInputError(
                f"{name} of {type(loss).__name__} must be one for each output of a sample, {tuple(output.shape[1:])}; "
                f"got shape {tuple(part.shape)}"
            ) from problem
    return WeightedLogistic(positive=found[1], weight=found[0])


def _negative_log_likelihood(loss: Any, output: Tensor) -> OutputLoss:
    _refuse(loss, ignore_index=loss.ignore_index >= 0)
    return _of_one_class(loss, output.shape[1])


def _kullback_leibler(loss: Any, output: Tensor) -> OutputLoss:
    return LogDivergence(loss.log_target)


def _behind_softmax(model: nn.Module, form: OutputLoss) -> OutputLoss:
    """Loss of a network that ends in a log-softmax of all outputs: that of its logits, whose errors are logarithms.

    The error of softmax cross-entropy at such outputs is that of the negative log-likelihood less its component along
    the probabilities, which the log-softmax takes out anyway; and logarithms reach beyond the smallest number.
    """
    last = model[-1] if type(model) is nn.Sequential and len(model) and not hooked(model) else None
    if type(last) is not nn.LogSoftmax or last.dim not in (1, -1) or hooked(last):
        return form
    if isinstance(form, NegativeLogLikelihood):
        return SoftmaxCrossEntropy() if form.weights is None else WeightedCrossEntropy(form.weights)
    return KullbackLeibler(form.log_targets) if isinstance(form, LogDivergence) else form


def _poisson(loss: Any, output: Tensor) -> OutputLoss | None:
    return PoissonCounts() if loss.log_input else None


def _smooth(loss: Any, output: Tensor) -> OutputLoss:
    return Huber(loss.beta, 1 / loss.beta) if loss.beta > 0 else Composition("identity", "mae")


_EQUIVALENTS: Final[dict[type[nn.Module], Callable[[Any, Tensor], OutputLoss | None]]] = {
    nn.CrossEntropyLoss: _cross_entropy,
    nn.BCEWithLogitsLoss: _logistic,
    nn.MultiLabelSoftMarginLoss: _logistic,
    nn.SoftMarginLoss: lambda loss, output: Composition("sigmoid", "bce"),
    nn.MSELoss: lambda loss, output: Composition("identity", "mse"),
    nn.L1Loss: lambda loss, output: Composition("identity", "mae"),
    nn.HuberLoss: lambda loss, output: Huber(loss.delta),
    nn.SmoothL1Loss: _smooth,
    nn.NLLLoss: _negative_log_likelihood,
    nn.KLDivLoss: _kullback_leibler,
    nn.PoissonNLLLoss: _poisson,
}
"""Losses and what gives their equivalents for an output of the network; none where the output is not of its form."""


def takes_tokens(loss: object) -> bool:
    """Whether a loss has a form for a class index at each position of a sequence."""
    return isinstance(loss, nn.CrossEntropyLoss | nn.NLLLoss | SoftmaxCrossEntropy | TokenCrossEntropy)


def exact_system(
    model: nn.Module,
    loss: OutputLoss | nn.Module | Callable[..., Any],
    targets: Iterable[Tensor],
    output: Callable[[], Any],
    spread: Callable[[], tuple[Any, Tensor]],
) -> tuple[nn.Module, OutputLoss]:
    """Return an equivalent network and loss whose output errors are tail-exact.

    A critlearn loss is kept, except that softmax with cross-entropy becomes `SoftTargetCrossEntropy` if targets are
    probabilities of shape (batch, classes). Torch's losses are replaced; a loss that is a mean over outputs remains
    one. If the network is a sequence that ends in a saturating activation, and the targets are the values at which it
    saturates, the activation becomes part of the loss: otherwise ``tanh(y) - 1`` would be 0 from y = 19 on. Any other
    loss or function ``(y, t) -> value`` is differentiated automatically, with a warning.

    Parameters
    ----------
    targets
        Targets in batches; all are looked at only where the values of all matter.
    output
        Gives the output of the network for some of the first samples.
    spread
        Gives outputs and targets of some samples from all over the data set, on which a loss without a form is tried:
        the first ones may be of one class.

    Raises
    ------
    InvalidInputError
        If the loss does not fit the network, or couples samples.
    """
    if takes_tokens(loss):
        tokens = _for_tokens(model, loss, next(iter(targets)), output)
        if tokens is not None:
            return model, tokens
    if isinstance(loss, OutputLoss):
        return model, for_targets(loss, next(iter(targets)))
    activation = _last_activation(model)
    name = _BEHIND_ACTIVATION.get(type(loss))
    # Binary cross-entropy takes logarithms of probabilities, so it fits the sigmoid only.
    fitting = activation == "sigmoid" or (activation is not None and name != "bce")
    if activation is not None and name is not None and fitting and _saturates(activation, targets):
        assert isinstance(loss, nn.Module)
        _refuse(loss, weight=getattr(loss, "weight", None) is not None)
        assert isinstance(model, nn.Sequential)
        shortened = model[:-1]
        shortened.training = model.training
        return shortened, _reduced(loss, Composition(activation, name), output())
    first = next(iter(targets))
    y = output()
    if not isinstance(y, Tensor):
        raise InvalidInputError(
            f"the model must return one pre-activation or more per sample; got {type(y).__name__}: wrap it in a module "
            "that returns one tensor, or an output with .logits"
        )
    if isinstance(loss, nn.SoftMarginLoss):
        _check_signs(targets)
    soft_positions = type(loss) is nn.CrossEntropyLoss and first.is_floating_point() and first.dim() > 2
    form = None if soft_positions or not isinstance(loss, nn.Module) else _EQUIVALENTS.get(type(loss))
    equivalent = None if form is None else form(loss, y)
    if equivalent is None:
        return model, _differentiated(loss, *spread())
    if equivalent == Composition("sigmoid", "bce") and form is _logistic and not _saturates("sigmoid", [first]):
        # Targets between the classes.
        ones = (1.0,) * y.shape[1:].numel()
        equivalent = WeightedLogistic(positive=ones, weight=ones)
    exact = for_targets(_behind_softmax(model, equivalent) if y.dim() == 2 else equivalent, first)
    return model, exact if isinstance(exact, SoftTargetCrossEntropy) else _reduced(loss, exact, y)


def _differentiated(loss: Any, output: Tensor, targets: Tensor) -> OutputLoss:
    """Loss by automatic differentiation, with a warning.

    Raises
    ------
    InvalidInputError
        If it takes no such outputs, or couples samples.
    """
    if isinstance(loss, nn.BCELoss) and not bool(((output >= 0) & (output <= 1)).all()):
        raise InvalidInputError(
            "BCELoss takes probabilities, and the network gives others; allowed: BCELoss behind a last Sigmoid without "
            "hooks, or BCEWithLogitsLoss in its place"
        )
    if output.shape[:1] != targets.shape[:1]:
        raise InvalidInputError(
            f"the model gives outputs of shape {tuple(output.shape)} for {len(targets)} samples: the first dimension "
            "must be that of the samples"
        )
    found = by_function(loss, output, targets.to(output.dtype) if targets.is_floating_point() else targets)
    warnings.warn(
        f"{found.name} has no tail-exact form here: its output errors come from automatic differentiation, one sample "
        "at a time, and are rounding errors below the resolution floor",
        stacklevel=4,
    )
    return found


def _for_tokens(model: nn.Module, loss: Any, targets: Tensor, output: Callable[[], Any]) -> OutputLoss | None:
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
    last = last and (not second or getattr(model, "names_its_output", False))
    if isinstance(loss, TokenCrossEntropy):
        return loss
    if isinstance(loss, SoftmaxCrossEntropy):
        return TokenCrossEntropy(classes_last=last)
    mean = loss.reduction == "mean"
    return TokenCrossEntropy(
        loss.ignore_index, mean=mean, classes_last=last, single=_of_one_class(loss, y.shape[-1 if last else 1])
    )


def for_targets(loss: OutputLoss, targets: Tensor) -> OutputLoss:
    """Return the loss in the form for these targets: softmax has one of its own for probabilities."""
    soft = targets.is_floating_point() and targets.dim() == 2 and targets.shape[1] > 1
    if soft and isinstance(loss, WeightedCrossEntropy):
        return replace(loss, class_targets=False)
    return SoftTargetCrossEntropy() if soft and isinstance(loss, SoftmaxCrossEntropy) else loss


def _reduced(loss: Any, single: OutputLoss, y: Any) -> OutputLoss:
    """Loss of one sample: mean over its outputs if there are several and torch's loss is a mean, else their sum."""
    if isinstance(y, Tensor) and y.shape[1:].numel() == 1:
        return single
    # MultiLabelSoftMarginLoss: its reduction is over samples only; over classes it is always a mean.
    mean = loss.reduction == "mean" or isinstance(loss, nn.MultiLabelSoftMarginLoss)
    of_outputs = not single.class_targets and not isinstance(single, WeightedCrossEntropy)
    return Averaged(single) if mean and of_outputs else single


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
            raise InvalidInputError(
                f"{type(loss).__name__} with {name} has no tail-exact equivalent: leave it out, as samples that do not "
                "count are left out of the data, or give a function (y, t) -> value, which is differentiated"
            )

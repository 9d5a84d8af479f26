"""Table of torch's functions that have exact forms, and what is called in their place."""

import math
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from critlearn.network.exact.attention import exact_attention, exact_multi_head_attention
from critlearn.network.exact.gelu import ExactGelu
from critlearn.network.exact.losses import exact_cross_entropy, exact_logistic_loss, exact_probability_loss
from critlearn.network.exact.recurrent import exact_cell, exact_layers, gru_step, lstm_step, tanh_step
from critlearn.network.exact.softmax import exact_log_softmax, exact_softmax
from critlearn.network.modules import ActivationModule

ExactForm = Callable[..., Any]
"""Function with the arguments of torch's; it gives `NotImplemented` for those that it does not know."""


def _activation(module: Callable[[Tensor], Tensor]) -> ExactForm:
    def activation(*arguments: Any, **keywords: Any) -> Any:
        alone = len(arguments) == 1 and isinstance(arguments[0], Tensor) and not keywords
        return module(arguments[0]) if alone else NotImplemented

    return activation


def _gelu(x: Any, approximate: str = "none") -> Any:
    if not isinstance(x, Tensor):
        return NotImplemented
    if approximate == "tanh":
        # (1 + tanh(u)) / 2 is the sigmoid of 2 u, which does not cancel where tanh(u) is all but -1.
        return x * _SIGMOID(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return ExactGelu()(x)


def _along(function: Callable[[Tensor, int], Tensor]) -> ExactForm:
    """Form of a function along one dimension, for all ways in which torch takes the dimension and a type."""

    def along(*arguments: Any, **keywords: Any) -> Any:
        x, *rest = (*arguments, *(keywords.pop(name) for name in ("input", "self") if name in keywords))
        dim = rest[0] if rest else keywords.pop("dim", None)
        kinds = [part for part in (*rest[1:], keywords.pop("dtype", None)) if isinstance(part, torch.dtype)]
        # Some forms take the depth of the stack at which to warn.
        keywords.pop("_stacklevel", None)
        known = isinstance(x, Tensor) and isinstance(dim, int) and not isinstance(dim, bool) and not keywords
        if not known or not (x.is_floating_point() or kinds):
            return NotImplemented
        return function(x.to(kinds[0]) if kinds else x, dim)

    return along


def _glu(x: Tensor, dim: int = -1) -> Any:
    half = x.shape[dim] // 2
    if 2 * half != x.shape[dim]:
        return NotImplemented
    value, gate = x.split(half, dim)
    return value * ActivationModule("sigmoid")(gate)


_SOFTMAX: Final = _along(exact_softmax)
_LOG_SOFTMAX: Final = _along(exact_log_softmax)
_SIGMOID: Final = _activation(ActivationModule("sigmoid"))
_TANH: Final = _activation(ActivationModule("tanh"))

EXACT_FORMS: Final[dict[Callable[..., Any], ExactForm]] = {
    **dict.fromkeys((torch.tanh, Tensor.tanh, functional.tanh), _TANH),
    **dict.fromkeys((torch.sigmoid, torch.special.expit, Tensor.sigmoid, functional.sigmoid), _SIGMOID),
    functional.softsign: _activation(ActivationModule("softsign")),
    functional.gelu: _gelu,
    functional.glu: _glu,
    **dict.fromkeys((torch.softmax, torch.special.softmax, Tensor.softmax, functional.softmax), _SOFTMAX),
    **dict.fromkeys(
        (torch.log_softmax, torch.special.log_softmax, Tensor.log_softmax, functional.log_softmax), _LOG_SOFTMAX
    ),
    functional.softmin: _along(lambda x, dim: exact_softmax(-x, dim)),
    functional.scaled_dot_product_attention: exact_attention,
    functional.multi_head_attention_forward: exact_multi_head_attention,
    functional.cross_entropy: exact_cross_entropy,
    functional.binary_cross_entropy_with_logits: exact_logistic_loss,
    functional.binary_cross_entropy: exact_probability_loss,
    torch.lstm: exact_layers(lstm_step),
    torch.gru: exact_layers(gru_step),
    torch.rnn_tanh: exact_layers(tanh_step),
    torch.lstm_cell: exact_cell(lstm_step),
    torch.gru_cell: exact_cell(gru_step),
    torch.rnn_tanh_cell: exact_cell(tanh_step),
}
"""Torch's functions whose backward passes cancel where they saturate, and their exact forms."""


def exact_form(function: Callable[..., Any]) -> ExactForm | None:
    """Exact form of a function of torch's; None if it has none, as it needs none or is not known."""
    try:
        return EXACT_FORMS.get(function)
    except TypeError:
        # What cannot be hashed is none of torch's functions.
        return None

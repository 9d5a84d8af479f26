"""Multi-head attention through its projections, which are dense layers over tokens."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.outer_products import OuterProducts
from critlearn.fluctuations.grad_sample.protocol import GradSample
from critlearn.fluctuations.grad_sample.rules.registry import UnsuitableUseError, register, samples_first
from critlearn.network.backward.layer_use import LayerUse
from critlearn.network.exact.softmax import exact_softmax

_ARGUMENTS = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask")
"""Names of the positional arguments of torch's attention, in order."""


class AttentionRule:
    """Rule for attention, computed once more from its inputs to find the errors at the projections that torch fuses."""

    layers = (nn.MultiheadAttention,)
    covers_submodules = True

    def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
        """Gradients of the input projections (stacked or apart) and of ``out_proj``."""
        module = use.module
        assert isinstance(module, nn.MultiheadAttention)
        arguments: dict[str, Any] = {**dict(zip(_ARGUMENTS, use.arguments, strict=False)), **use.keywords}
        if module.bias_k is not None or module.add_zero_attn:
            raise UnsuitableUseError("attention with extra keys")
        if len(use.errors) > 1 and bool((use.errors[1] != 0).any()):
            raise UnsuitableUseError("a loss that depends on the attention weights")
        order = (lambda part: part) if module.batch_first else (lambda part: part.transpose(0, 1))
        inputs = [samples_first(use, order(arguments[name])) for name in ("query", "key", "value")]
        error = samples_first(use, order(use.errors[0]))
        # Leaves of a graph of their own: what autograd finds at them are the errors at the projections.
        projected = [
            nn.functional.linear(part, weight, bias).requires_grad_()
            for part, weight, bias in zip(inputs, _weights(module), _biases(module), strict=True)
        ]
        with torch.enable_grad():
            context = _attend(module, projected, arguments.get("attn_mask"), arguments.get("key_padding_mask"))
        errors = torch.autograd.grad(context, projected, error @ module.out_proj.weight)
        found: dict[str, GradSample] = {
            "out_proj.weight": OuterProducts(error[:, None], context.detach()[:, None]),
            "out_proj.bias": Materialised(error.sum(dim=1)),
            "in_proj_bias": Materialised(torch.cat([part.sum(dim=1) for part in errors], dim=1)),
        }
        return {**found, **_input_projections(module, inputs, errors)}


def _stacked(module: nn.MultiheadAttention) -> bool:
    """Whether the three input projections are one matrix."""
    return getattr(module, "in_proj_weight", None) is not None


def _weights(module: nn.MultiheadAttention) -> tuple[Tensor, ...]:
    """Weights of the projections of query, key and value."""
    if _stacked(module):
        return module.in_proj_weight.chunk(3)
    return module.q_proj_weight, module.k_proj_weight, module.v_proj_weight


def _biases(module: nn.MultiheadAttention) -> tuple[Tensor | None, ...]:
    return (None,) * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)


def _attend(module: nn.MultiheadAttention, projected: list[Tensor], mask: Any, padding: Any) -> Tensor:
    """Weighted values of all heads side by side, shape (sample, token, width)."""
    samples, heads = len(projected[0]), module.num_heads
    query, key, value = (part.reshape(samples, part.shape[1], heads, -1).transpose(1, 2) for part in projected)
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = _masked(scores, mask if mask.dim() == 2 else mask.reshape(samples, heads, *mask.shape[1:]))
    if padding is not None:
        scores = _masked(scores, padding[:, None, None, :])
    return (exact_softmax(scores, -1) @ value).transpose(1, 2).flatten(2)


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores with a mask: a pair with True is excluded, a number is added to the score."""
    return scores.masked_fill(mask, -math.inf) if mask.dtype == torch.bool else scores + mask


def _input_projections(
    module: nn.MultiheadAttention, inputs: list[Tensor], errors: tuple[Tensor, ...]
) -> dict[str, GradSample]:
    """Gradients of the weights of the input projections."""
    if not _stacked(module):
        names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
        pairs = zip(names, errors, inputs, strict=True)
        return {name: OuterProducts(error[:, None], part[:, None]) for name, error, part in pairs}
    # Self-attention: one input for all three, whose errors stand side by side in the stacked matrix.
    if all(part.data_ptr() == inputs[0].data_ptr() and part.shape == inputs[0].shape for part in inputs):
        return {"in_proj_weight": OuterProducts(torch.cat(errors, dim=2)[:, None], inputs[0][:, None])}
    # One matrix for three inputs: each use has errors in its own third of the outputs.
    width = errors[0].shape[2]
    padded = [nn.functional.pad(part, (k * width, (2 - k) * width)) for k, part in enumerate(errors)]
    return {"in_proj_weight": OuterProducts(torch.cat(padded, dim=1)[:, None], torch.cat(inputs, dim=1)[:, None])}


register(AttentionRule())

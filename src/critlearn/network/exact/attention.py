"""Scaled dot-product attention with the exact backward pass of its softmax."""

import math
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from critlearn.network.exact.softmax import exact_softmax, softmax_errors

_BYTES: Final = 1 << 20
"""Memory of the probabilities that are formed at a time: within a processor's cache it takes half the time."""


class _ExactAttention(torch.autograd.Function):
    """Attention of some samples after the other, whose probabilities are formed again in the backward pass."""

    generate_vmap_rule = True

    @staticmethod
    def forward(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
        return torch.cat(
            [_probabilities(q, k, m, scale) @ v for (q, k, v), m in _pieces((query, key, value), mask, key)]
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.scale = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        query, key, value, mask = ctx.saved_tensors
        found: list[tuple[Tensor, ...]] = []
        of_mask: list[Tensor] = []
        for (q, k, v, error), m in _pieces((query, key, value, gradients[0]), mask, key):
            p = _probabilities(q, k, m, ctx.scale)
            of_scores = softmax_errors(p, error @ v.transpose(-2, -1), -1)
            found.append(
                (
                    of_scores @ k * ctx.scale,
                    of_scores.transpose(-2, -1) @ q * ctx.scale,
                    p.transpose(-2, -1) @ error,
                )
            )
            if m is not None and ctx.needs_input_grad[3]:
                of_mask.append(of_scores.sum_to_size(m.shape))
        whole = [torch.cat(parts) for parts in zip(*found, strict=True)]
        if not of_mask:
            return *whole, None, None
        # A mask for each sample is cut with the samples; one for all of them has a gradient from every piece.
        return *whole, (torch.cat(of_mask) if _cut(mask, query) else sum(of_mask[1:], of_mask[0])), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        query, key, value, mask = ctx.saved_tensors
        q, k, v, m = tangents[:4]
        p = _probabilities(query, key, mask, ctx.scale)
        scores = sum(
            (part for part in (
                None if q is None else q @ key.transpose(-2, -1) * ctx.scale,
                None if k is None else query @ k.transpose(-2, -1) * ctx.scale,
                m,
            ) if part is not None),
            torch.zeros_like(p),
        )  # fmt: skip
        changed = softmax_errors(p, scores, -1) @ value
        return changed if v is None else changed + p @ v


def _cut(mask: Tensor, query: Tensor) -> bool:
    """Whether a mask has the samples in its first dimension."""
    return mask.dim() == query.dim() and len(mask) == len(query) > 1


def _pieces(
    tensors: tuple[Tensor, ...], mask: Tensor | None, key: Tensor
) -> Iterator[tuple[tuple[Tensor, ...], Tensor | None]]:
    """Cut tensors and mask into pieces of some samples."""
    query = tensors[0]
    each = math.prod(query.shape[1:-1]) * key.shape[-2] * query.element_size()
    step = max(1, _BYTES // max(1, each))
    for start in range(0, max(1, len(query)), step):
        piece = slice(start, start + step)
        own = mask[piece] if mask is not None and _cut(mask, query) else mask
        yield tuple(part[piece] for part in tensors), own


def _probabilities(query: Tensor, key: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Weights of the values."""
    scores = (query * scale) @ key.transpose(-2, -1)
    return torch.softmax(scores if mask is None else scores.add_(mask), -1)


def _as_numbers(mask: Tensor, causal: Tensor | None, kind: torch.dtype) -> Tensor:
    """Mask as numbers that are added to the scores, minus infinity for what is excluded."""
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=kind).masked_fill(~mask, -math.inf)
    return mask if causal is None else mask.masked_fill(~causal, -math.inf)


def exact_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention as torch's ``scaled_dot_product_attention``; with dropout, which is random, torch's own."""
    if dropout_p > 0 or min(query.dim(), key.dim(), value.dim()) < 2:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if enable_gqa:
        key, value = (part.repeat_interleave(query.shape[-3] // part.shape[-3], -3) for part in (key, value))
    causal = None
    if is_causal:
        causal = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
        attn_mask = causal if attn_mask is None else attn_mask
    if attn_mask is not None:
        attn_mask = _as_numbers(attn_mask, causal, query.dtype)
        # A query for which all keys are excluded gets zeros.
        blocked = torch.isneginf(attn_mask).all(-1, keepdim=True)
        attn_mask = attn_mask.masked_fill(blocked, 0.0)
    leading = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    # At least one dimension of samples.
    query, key, value = (part.expand(*(leading or (1,)), *part.shape[-2:]) for part in (query, key, value))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    found: Tensor = _ExactAttention.apply(query, key, value, attn_mask, scale)
    found = found if leading else found[0]
    return found if attn_mask is None else found.masked_fill(blocked, 0.0)


def _softmax(x: Tensor, dim: int, *_: Any, **__: Any) -> Tensor:
    return exact_softmax(x, dim)


def _with_exact_parts(function: Any) -> Callable[..., Any]:
    """Torch's own function in Python, with the functions that it calls replaced by exact ones."""
    parts = {
        "softmax": _softmax,
        "scaled_dot_product_attention": exact_attention,
        # It asks whether another mode takes the call, which is how it came here.
        "has_torch_function": lambda _: False,
    }
    same = FunctionType(function.__code__, {**function.__globals__, **parts}, function.__name__, function.__defaults__)
    same.__kwdefaults__ = function.__kwdefaults__
    return same


exact_multi_head_attention: Final = _with_exact_parts(functional.multi_head_attention_forward)
"""Torch's ``multi_head_attention_forward`` with exact attention inside."""

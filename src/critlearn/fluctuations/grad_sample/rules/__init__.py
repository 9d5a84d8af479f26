"""Layer rules: how each type of layer gives the gradients of single samples without writing them out."""

from critlearn.fluctuations.grad_sample.rules import (
    attention,
    convolution,
    embedding,
    linear,
    normalization,
    recognised,
    recurrent,
)
from critlearn.fluctuations.grad_sample.rules.fallback import FallbackRule
from critlearn.fluctuations.grad_sample.rules.linear import LinearRule
from critlearn.fluctuations.grad_sample.rules.registry import LayerRule, UnsuitableUseError, register, rule_for

__all__ = [
    "FallbackRule",
    "LayerRule",
    "LinearRule",
    "UnsuitableUseError",
    "attention",
    "convolution",
    "embedding",
    "linear",
    "normalization",
    "recognised",
    "recurrent",
    "register",
    "rule_for",
]

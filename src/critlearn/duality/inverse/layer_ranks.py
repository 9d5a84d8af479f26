"""Ranks of the changes of dense layers: a single sample has rank one, a mean over several has more."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from critlearn.compositions import OutputLoss, SoftmaxCrossEntropy, SoftTargetCrossEntropy
from critlearn.compositions.softmax.weighted import KullbackLeibler, WeightedCrossEntropy
from critlearn.duality.inverse.first_layer import input_shapes
from critlearn.duality.sequence import flattened, joined, used_once

_SOFTMAX: Final = SoftmaxCrossEntropy | SoftTargetCrossEntropy | WeightedCrossEntropy | KullbackLeibler
"""Losses behind a softmax: their output errors add up to zero."""


@dataclass(frozen=True)
class LayerRank:
    """Rank of the changes of a dense layer.

    Parameters
    ----------
    rank
        Numerical rank.
    of_samples
        Greatest rank that a mean over samples can have.
    of_matrices
        Greatest rank of a matrix with the same rows and columns of zeros.
    """

    rank: int
    of_samples: int
    of_matrices: int


def layer_ranks(
    model: nn.Module, loss: OutputLoss, x_like: Tensor, changes: Mapping[str, Tensor], cut: float
) -> list[LayerRank]:
    """Ranks of the changes of every dense layer of a sequence.

    Parameters
    ----------
    model, loss
        Network and loss.
    x_like
        Any input, without batch dimension.
    changes
        Changes of the trainable variables, by name.
    cut
        Singular values, in units of the largest, above which they count.
    """
    found = []
    modules = flattened(model) or []
    shapes = input_shapes([module for _, module in modules], x_like) if modules else []
    for place, ((name, module), shape) in enumerate(zip(modules, shapes, strict=True)):
        weight, bias = (changes.get(joined(name, part)) for part in ("weight", "bias"))
        # A layer that is used twice, or at several places of a sample, has a change of higher rank from one sample.
        once = type(module) is nn.Linear and len(shape) == 1 and used_once(modules, module)
        if weight is None or not once:
            continue
        matrix = weight if bias is None else torch.cat([weight, bias[:, None]], dim=1)
        values = torch.linalg.svdvals(matrix)
        # Units that are dead in every sample, and inputs that are zero in every one, have no part in the rank.
        rows, columns = (int((matrix != 0).any(dim=dim).sum()) for dim in (1, 0))
        # The output errors of softmax have the sum zero.
        summing = isinstance(loss, _SOFTMAX) and place == len(modules) - 1
        errors = rows - 1 if summing and rows else rows
        found.append(LayerRank(int((values > cut * values[0]).sum()), min(errors, columns), min(rows, columns)))
    return found


def samples_of_mean(ranks: list[LayerRank]) -> int | None:
    """Smallest number of samples over which a mean with these ranks was taken; None if they show no mean.

    Some layer must have a lower rank than a matrix of noise would have, and no layer the rank of a single sample, if
    more was possible.
    """
    most = max((layer.rank for layer in ranks), default=1)
    structured = any(layer.rank < layer.of_matrices for layer in ranks)
    several = all(layer.rank >= min(2, layer.of_samples) for layer in ranks)
    return most if most > 1 and structured and several else None

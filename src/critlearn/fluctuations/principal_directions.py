"""Leading principal directions of the samples' changes, from the samples' inner products: no wide matrix is formed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float64
from torch import Tensor

from critlearn.fluctuations.criteria import DIRECTION_PRODUCTS, FEWEST_DIRECTION_SAMPLES
from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.grad_sample.protocol import GradSample
from critlearn.network.batches.model_inputs import Inputs

_ROUNDING: Final = 1e-10
"""Share of a direction in the variance below which it may be rounding of the Gram matrix."""

_WRITTEN_OUT: Final = 1 << 27
"""Gradients (1 GiB) that are held where those of all samples have to be written out."""


@dataclass(frozen=True, eq=False)
class PrincipalDirections:
    """Principal directions of the changes of some samples, as combinations of the samples' changes.

    Direction k is ``sum over i of combination[i, k] * change_i``, of unit length in units of ``exp(log_unit)``.

    Parameters
    ----------
    combination
        Coefficients of the samples.
    projections
        Changes of the samples along the directions, not centred, in units of ``exp(log_unit)``.
    shares
        Share of each direction in the samples' variance.
    targets
        Sums ``change_i . q`` for the vectors q that were given, in units of ``exp(log_unit)``, shape (sample, vector).
    log_unit
        Logarithm of the unit.
    """

    combination: Float64[Tensor, "sample direction"]
    projections: Float64[Tensor, "sample direction"]
    shares: Float64[Tensor, " direction"]
    targets: Float64[Tensor, "sample vector"]
    log_unit: float

    def components(self) -> Float64[Tensor, "vector direction"]:
        """Components of the given vectors along the directions, in the vectors' own units."""
        return self.targets.T @ self.combination


def principal_directions(
    gradients: PerSampleGradients, vectors: list[dict[str, Tensor]], *, number: int, samples: int = 256
) -> PrincipalDirections:
    """Principal directions of the samples' changes in the space of all trainable variables.

    They are eigenvectors of the centred Gram matrix of some samples, spread over the data set: with 256 of them the
    standard deviation along a direction is known to 4%.

    Parameters
    ----------
    gradients
        Per-sample gradients of the system.
    vectors
        Vectors in the space of the variables, by their names, whose components along the directions are wanted.
    number
        Number of directions.
    samples
        Largest number of samples, which are passed as one batch; fewer are taken where products of large networks
        would take many seconds.
    """
    system = gradients.system
    chosen = system.scattered(_affordable(gradients, samples))
    x, t = system.chosen(chosen)
    gram, targets, log_unit = inner_products(gradients, x, t, vectors)
    centred = gram - gram.mean(dim=0)
    centred = centred - centred.mean(dim=1, keepdim=True)
    variances, vectors_of_samples = torch.linalg.eigh((centred + centred.T) / 2)
    total = float(variances.clamp(min=0).sum())
    # A variance of rounding alone has no direction.
    kept = min(number, int((variances > _ROUNDING * total).sum())) if total > 0 else 0
    variances, weight = variances.flip(0)[:kept], vectors_of_samples.flip(1)[:, :kept]
    combination = (weight - weight.mean(dim=0)) / variances.sqrt()
    return PrincipalDirections(combination, gram @ combination, variances / max(total, 1e-300), targets, log_unit)


def _affordable(gradients: PerSampleGradients, samples: int) -> int:
    """Number of samples whose inner products can be had in bounded time and memory."""
    parameters = gradients.system.parameters
    variables = sum(value.numel() for value in parameters.values())
    samples = min(samples, max(FEWEST_DIRECTION_SAMPLES, math.isqrt(int(DIRECTION_PRODUCTS / variables))))
    written_out = sum(parameters[name].numel() for name in gradients.differentiated)
    return min(samples, max(2, _WRITTEN_OUT // written_out)) if written_out else samples


def inner_products(
    gradients: PerSampleGradients, x: Inputs, t: Tensor, vectors: Sequence[Mapping[str, Tensor]]
) -> tuple[Tensor, Tensor, float]:
    """Gram matrix of the changes of a batch of samples, their products with vectors, and the logarithm of their unit.

    Both are in units of ``exp(log_unit)`` for each change. Vectors are given by the names of the variables.
    """
    pieces: dict[str, list[tuple[GradSample, Tensor]]] = {}
    for item in gradients.batch(x, t):
        pieces.setdefault(item.name, []).append((item.grad_sample, item.log_scale))
    log_unit = max(float(scale.max()) for parts in pieces.values() for _, scale in parts)
    gram = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)
    targets = gram.new_zeros(len(x), len(vectors))
    while pieces:
        name, parts = pieces.popitem()
        joined = parts[0][0] if len(parts) == 1 else Materialised(torch.cat([part.dense() for part, _ in parts]))
        scale = torch.cat([scale for _, scale in parts])
        # A change is minus the gradient.
        weight = -(scale - log_unit).exp() if log_unit > -math.inf else torch.zeros_like(scale)
        gram += joined.inner_products(weight)
        for number, vector in enumerate(vectors):
            targets[:, number] += weight * joined.projected(vector[name].flatten())
    return gram, targets, log_unit

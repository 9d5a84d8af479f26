"""Per-sample gradients held against automatic differentiation of the whole network: sample by sample, and summed."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

import torch
from torch import Tensor, nn

from critlearn.fluctuations.grad_sample.protocol import Contribution
from critlearn.fluctuations.grad_sample.sparse_rows import SparseRows
from critlearn.network.backward.autograd_errors import no_raw_refusal
from critlearn.network.backward.scaled_errors import ScaledErrors

OUTSIDE: Final = "used by a function outside its layer"
ELSEWHERE: Final = "used elsewhere too, or its layer's first dimension is not that of the samples"
"""Why a rule can be wrong."""

_LOOKED_AT: Final = 500
"""Entries of a variable that are compared: so many of the largest, and as many at random."""

_AGREEMENT: Final = 1e-6
"""Largest difference from automatic differentiation, in units of the variable's largest gradient."""

_AGREEMENT_SINGLE: Final = 1e-3

_NOISE: Final = 1e-12
"""Size of rounding errors in units of the layer's largest gradient."""

_NOISE_SINGLE: Final = 1e-4

_FIRST_LOOK: Final = 1024

_UNDERFLOW: Final = math.exp(-700)


def plain_gradients(
    model: nn.Module, names: Collection[str], x: Tensor, errors: Callable[[Tensor], Tensor]
) -> dict[str, Tensor | None]:
    """Gradients of ``sum(output * errors)`` over all samples; None for a variable that the output does not depend on.

    Parameters
    ----------
    model
        The network; its parameters need no gradients, before and after.
    names
        Names of the variables.
    x
        Inputs.
    errors
        From outputs to output errors of the same shape.
    """
    variables = {name: value for name, value in model.named_parameters() if name in names}
    for value in variables.values():
        value.requires_grad_()
    try:
        with torch.enable_grad(), no_raw_refusal(model):
            output = model(x)
            if not output.requires_grad:
                return dict.fromkeys(variables)
            weighted = errors(output.detach())
            gradients = torch.autograd.grad(output, list(variables.values()), weighted, allow_unused=True)
    finally:
        model.requires_grad_(False)
    return dict(zip(variables, gradients, strict=True))


def layer_of(name: str) -> str:
    """Layer of a variable, by name."""
    return name.rpartition(".")[0]


def largest_of_layers(gradients: Mapping[str, Tensor | None]) -> dict[str, float]:
    """Largest gradient of each layer."""
    largest: dict[str, float] = {}
    for name, gradient in gradients.items():
        size = 0.0 if gradient is None else float(gradient.abs().max())
        largest[layer_of(name)] = max(largest.get(layer_of(name), 0.0), size)
    return largest


def agrees(
    contribution: Contribution,
    log_scale: Tensor,
    expected: Tensor,
    sample: int,
    generator: torch.Generator,
    largest: float,
) -> bool:
    """Whether a variable's gradients for one sample are those of automatic differentiation, as far as looked at.

    ``largest`` is the largest gradient of the layer. Differences that are small beside it are rounding: a variable may
    have no gradient but that, like the bias of attention keys.
    """
    leading = expected.abs().topk(min(_LOOKED_AT, len(expected))).indices
    others = torch.randint(len(expected), (_LOOKED_AT,), generator=generator).to(expected.device)
    index = torch.cat([leading, others])
    one = contribution.select(torch.tensor([sample], device=expected.device))
    found = one.chosen(index)[0].double() * log_scale[sample].exp()
    difference = (found - expected[index].double()).abs().max()
    return bool(difference <= _allowed(expected, largest, single=contribution.precision == torch.float32))


def _allowed(expected: Tensor, largest: float, *, single: bool) -> float:
    """Largest difference from a variable's gradients that is rounding, in a layer with that largest gradient."""
    tolerance, noise = (_AGREEMENT_SINGLE, _NOISE_SINGLE) if single else (_AGREEMENT, _NOISE)
    return tolerance * float(expected.abs().max()) + noise * largest + _UNDERFLOW


class BatchSums:
    """Sums over a batch by one backward pass: each sample with output errors of unit size and a weight of its own.

    Without weights, gradients that belong to other samples than they are said to would have the same sum.

    Parameters
    ----------
    model
        The whole network.
    names
        Names of the trainable variables.
    x
        Inputs of the batch.
    errors
        From outputs to output errors.
    """

    def __init__(
        self, model: nn.Module, names: Collection[str], x: Tensor, errors: Callable[[Tensor], ScaledErrors]
    ) -> None:
        drawn = torch.rand(len(x), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self._weight = (1 + drawn).to(x.device)
        self.log_scale = torch.zeros_like(self._weight)

        def weighted(output: Tensor) -> Tensor:
            scaled = errors(output)
            self.log_scale = scaled.log_scale
            return scaled.values * self._weight.to(output.dtype).reshape(-1, *[1] * (output.dim() - 1))

        self._sums = plain_gradients(model, names, x, weighted)
        self._largest = largest_of_layers(self._sums)
        self._single = x.dtype == torch.float32 or next(model.parameters()).dtype == torch.float32

    def agree(self, name: str, contribution: Contribution, log_scale: Tensor) -> bool:
        """Whether the gradients of a variable, for all samples of the batch, add up to its sum."""
        weight = self._weight * torch.nan_to_num((log_scale - self.log_scale).exp(), nan=0.0)
        found, expected = contribution.weighted_sum(weight), self._sums[name]
        expected = torch.zeros_like(found) if expected is None else expected.flatten().double()
        single = self._single or contribution.precision == torch.float32
        allowed = _allowed(expected, self._largest[layer_of(name)], single=single)
        return bool((found - expected).abs().max() <= allowed)

    def vanish(self, name: str) -> bool:
        """Whether no sample of the batch has a gradient with respect to a variable."""
        expected = self._sums[name]
        return expected is None or not bool(expected.any())


def nothing(variables: int, like: Tensor) -> tuple[SparseRows, Tensor]:
    """Gradients that are exact zeros for all samples, with their units; ``like`` has shape (sample,)."""
    none = torch.zeros(0, dtype=torch.int64, device=like.device)
    return SparseRows(like.new_zeros(0, 1), none, none, variables, len(like)), torch.full_like(like, -math.inf)


def never_reached(model: nn.Module, names: list[str], batches: Iterable[Tensor]) -> list[str]:
    """Those of some variables that the output does not depend on for any sample."""
    for x in batches:
        found = plain_gradients(model, names, x, torch.randn_like)
        names = [name for name in names if found[name] is None]
        if not names:
            break
    return names


def due(first: int, samples: int) -> bool:
    """Whether sample 1,024, 2,048, 4,096 or so on is in a batch: more are looked at, and ever more rarely."""
    number = _FIRST_LOOK
    while number < first:
        number *= 2
    return number < first + samples

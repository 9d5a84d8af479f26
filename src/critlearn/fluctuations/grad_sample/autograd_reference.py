"""Gradients by automatic differentiation of the whole network, and how closely per-sample gradients agree with them."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

import torch
from torch import Tensor, nn

from critlearn.fluctuations.criteria import AGREEMENT, COMPARED, NOISE, ROUNDED
from critlearn.fluctuations.grad_sample.protocol import VariableGradients
from critlearn.fluctuations.grad_sample.rules.plan import layer_of
from critlearn.network.backward.autograd_errors import translate_autograd_errors
from critlearn.network.backward.scaled_errors import ScaledErrors
from critlearn.network.batches.model_inputs import Inputs

_UNDERFLOW: Final = math.exp(-700)
"""Size below which gradients by automatic differentiation are not compared: normal doubles end at e^-708."""

_WHOLE: Final = 1 << 14
"""Entries of a variable of which all are compared: the sums of so few take less time than to choose among them."""


def plain_gradients(
    model: nn.Module, names: Collection[str], x: Inputs, errors: Callable[[Tensor], Tensor]
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
        with torch.enable_grad(), translate_autograd_errors(model):
            output = model(x)
            weighted = errors(output.detach())
            if not output.requires_grad:
                return dict.fromkeys(variables)
            gradients = torch.autograd.grad(output, list(variables.values()), weighted, allow_unused=True)
    finally:
        model.requires_grad_(False)
    return dict(zip(variables, gradients, strict=True))


def unreached(model: nn.Module, names: list[str], batches: Iterable[Tensor]) -> list[str]:
    """Names of the variables that the output does not depend on for any sample."""
    for x in batches:
        found = plain_gradients(model, names, x, torch.randn_like)
        names = [name for name in names if found[name] is None]
        if not names:
            break
    return names


def largest_by_layer(gradients: Mapping[str, Tensor | None]) -> dict[str, float]:
    """Size of the largest gradient of each layer."""
    largest: dict[str, float] = {}
    for name, gradient in gradients.items():
        size = 0.0 if gradient is None else float(gradient.abs().max())
        largest[layer_of(name)] = max(largest.get(layer_of(name), 0.0), size)
    return largest


def _compared(expected: Tensor, generator: torch.Generator) -> Tensor:
    """Flat indices of the entries that are compared, of a variable with these gradients."""
    if len(expected) <= 2 * COMPARED:
        return torch.arange(len(expected), device=expected.device)
    # A wrong rule shows most in the largest entries; random ones find one that is wrong elsewhere. The largest of equal
    # stretches are found in a tenth of the time of the largest of all, which is among them.
    width = -(-len(expected) // COMPARED)
    sizes = nn.functional.pad(expected.abs(), (0, width * COMPARED - len(expected)), value=-1.0)
    place = sizes.reshape(COMPARED, width).argmax(dim=1)
    leading = (place + width * torch.arange(COMPARED, device=place.device)).clamp(max=len(expected) - 1)
    others = torch.randint(len(expected), (COMPARED,), generator=generator).to(expected.device)
    return torch.cat([leading, others])


def _allowed(expected: Tensor, largest: float, *, single: bool) -> float:
    """Largest difference from a variable's gradients that is rounding, in a layer with that largest gradient."""
    precision = "single" if single else "double"
    return AGREEMENT[precision] * float(expected.abs().max()) + NOISE[precision] * largest + _UNDERFLOW


class BatchSums:
    """Sums over a batch by one backward pass: each sample with output errors of unit size and a weight of its own.

    Without weights, gradients that belong to other samples than they are said to would have the same sum. Samples are
    passed in reverse order, which no output may depend on.

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

    Attributes
    ----------
    output
        Output for the samples in the given order.
    log_scale
        Logarithms of the units of the errors.
    """

    def __init__(
        self, model: nn.Module, names: Collection[str], x: Inputs, errors: Callable[[Tensor], ScaledErrors]
    ) -> None:
        # Weights between 1 and 2: all different, and none so small that its sample would not count.
        drawn = torch.rand(len(x), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self._weight = (1 + drawn).to(x.device)
        self.log_scale = torch.zeros_like(self._weight)

        def backwards(value: Tensor) -> Tensor:
            # A network may leave out the first dimension where there is one sample.
            return value.flip(0) if len(x) > 1 else value

        def weighted(output: Tensor) -> Tensor:
            self.output = backwards(output)
            scaled = errors(self.output)
            self.log_scale = scaled.log_scale
            weight = self._weight.to(output.dtype).reshape(-1, *[1] * (scaled.values.dim() - 1))
            return backwards(scaled.values * weight).reshape(output.shape)

        self._sums = plain_gradients(model, names, x[[*range(len(x))][::-1]], weighted)
        self._largest = largest_by_layer(self._sums)
        self._single = x.dtype == torch.float32 or next(model.parameters()).dtype == torch.float32

    def agrees(self, item: VariableGradients) -> bool:
        """Whether the gradients of a variable are as many as samples in the batch, and add up to its sum."""
        if item.grad_sample.samples != len(self._weight):
            return False
        # The sum is in units of the errors: the gradients are brought from their own units to these.
        weight = self._weight * torch.nan_to_num((item.log_scale - self.log_scale).exp(), nan=0.0)
        total = self._sums[item.name]
        if total is None or total.numel() <= _WHOLE or self.vanishes(item.name):
            # Where all vanish, the largest are not known.
            found = item.grad_sample.weighted_sum(weight)
            expected = expected_there = torch.zeros_like(found) if total is None else total.flatten().double()
        else:
            expected = total.flatten()
            index = _compared(expected, torch.Generator().manual_seed(0))
            found, expected_there = self._sum_of_entries(item, index, weight), expected[index].double()
        single = self._single or item.grad_sample.precision == torch.float32
        allowed = _allowed(expected, self._largest[layer_of(item.name)], single=single)
        # All that a layer has may be rounding, of sums that cancel.
        allowed += ROUNDED["single" if single else "double"] * max(self._largest.values())
        return bool((found - expected_there).abs().max() <= allowed)

    @staticmethod
    def _sum_of_entries(item: VariableGradients, index: Tensor, weight: Tensor) -> Tensor:
        """Weighted sum over samples of some entries, a few samples at a time: terms of all places are written out."""
        every = torch.arange(len(weight), device=weight.device)
        parts = (
            weight[rows] @ item.grad_sample.select(rows).entries(index).values.double() for rows in every.split(16)
        )
        return torch.stack(list(parts)).sum(dim=0)

    @property
    def reached(self) -> set[str]:
        """Names of the variables that the output depends on."""
        return {name for name, gradient in self._sums.items() if gradient is not None}

    def vanishes(self, name: str) -> bool:
        """Whether no sample of the batch has a gradient with respect to a variable."""
        expected = self._sums[name]
        return expected is None or not bool(expected.any())

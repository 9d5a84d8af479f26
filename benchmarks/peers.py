"""Per-sample gradients by other libraries, and the ways to count them."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from critlearn.fluctuations.counting.cpu import CpuCounter

CHUNK = 64


def torch_func(model: nn.Module, x: Tensor, t: Tensor) -> Iterator[Tensor]:
    """``vmap(grad)`` over chunks of samples."""
    variables = {name: value.detach() for name, value in model.named_parameters()}

    def loss(variables: dict[str, Tensor], sample: Tensor, target: Tensor) -> Tensor:
        logits = functional_call(model, variables, (sample[None],))
        return nn.functional.cross_entropy(logits, target[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))
    for start in range(0, len(x), CHUNK):
        yield from gradients(variables, x[start : start + CHUNK], t[start : start + CHUNK]).values()


def backpack(model: nn.Module, x: Tensor, t: Tensor) -> Iterator[Tensor]:
    """BackPACK's BatchGrad."""
    from backpack import backpack, extend
    from backpack.extensions import BatchGrad

    extended, loss = extend(model), extend(nn.CrossEntropyLoss(reduction="sum"))
    for start in range(0, len(x), CHUNK):
        extended.zero_grad()
        with backpack(BatchGrad()):
            loss(extended(x[start : start + CHUNK]), t[start : start + CHUNK]).backward()
        for value in extended.parameters():
            yield value.grad_batch
            del value.grad_batch


def opacus(model: nn.Module, x: Tensor, t: Tensor) -> Iterator[Tensor]:
    """Opacus' GradSampleModule."""
    from opacus import GradSampleModule

    wrapped, loss = GradSampleModule(model, loss_reduction="sum"), nn.CrossEntropyLoss(reduction="sum")
    for start in range(0, len(x), CHUNK):
        wrapped.zero_grad()
        loss(wrapped(x[start : start + CHUNK]), t[start : start + CHUNK]).backward()
        for value in wrapped.parameters():
            yield value.grad_sample
            value.grad_sample = None
    wrapped.remove_hooks()


def with_histogram(gradients: Iterator[Tensor]) -> int:
    """Count logarithms with ``np.histogram``."""
    edges = np.linspace(-60, 10, 4000)
    counted = 0
    for gradient in gradients:
        values = gradient.detach().flatten().numpy()
        with np.errstate(divide="ignore"):
            np.histogram(np.log(np.abs(values)), edges)
        counted += values.size
    return counted


def with_bincount(gradients: Iterator[Tensor]) -> int:
    """Count the leading bits of the numbers with ``torch.bincount``."""
    counted = 0
    for gradient in gradients:
        bits = gradient.detach().flatten().view(torch.int32).bitwise_and(0x7FFFFFFF).bitwise_right_shift_(17)
        torch.bincount(bits, minlength=1 << 14)
        counted += bits.numel()
    return counted


def with_kernel(gradients: Iterator[Tensor]) -> int:
    """Count with critlearn's own kernel for plain numbers."""
    counter, counted = CpuCounter(64), 0
    for gradient in gradients:
        group = torch.arange(len(gradient)) % 64
        counter.add_values(gradient.detach().reshape(len(gradient), -1), torch.zeros(len(gradient)).double(), group)
        counted += gradient.numel()
    return counted


PEERS: dict[str, Callable[[nn.Module, Tensor, Tensor], Iterator[Tensor]]] = {
    "torch.func": torch_func,
    "BackPACK": backpack,
    "Opacus": opacus,
}
COUNTS: dict[str, Callable[[Iterator[Tensor]], int]] = {
    "np.histogram": with_histogram,
    "bincount": with_bincount,
    "own kernel": with_kernel,
}


def floor(model: nn.Module, x: Tensor, t: Tensor, batch_size: int) -> int:
    """One forward and backward pass, nothing else."""
    loss = nn.CrossEntropyLoss()
    for start in range(0, len(x), batch_size):
        model.zero_grad()
        loss(model(x[start : start + batch_size]), t[start : start + batch_size]).backward()
    return math.prod((len(x), sum(value.numel() for value in model.parameters())))

"""Check that a network treats every sample independently; otherwise no sample has a gradient of its own.

Batch normalisation in train mode is recognised by its type. Other modules that subtract a mean over the batch, or draw
random numbers, are found by experiment: the same samples are passed together, in reverse order and separately. A few
samples do not show what a module does to the ninth of a batch, or to a batch of a hundred: whole batches of the
measurement are passed in other parts too.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from critlearn.errors import RAISED_BY_USER_CODE, InvalidInputError
from critlearn.network.batches.adapted_model import AdaptedModel
from critlearn.network.batches.model_inputs import Inputs
from critlearn.network.checks.finiteness import in_words
from critlearn.network.checks.hooks import hooked
from critlearn.network.criteria import SAME_OUTPUT, SAME_OUTPUT_COARSE

PROBED: Final = 4
"""Number of samples that are passed: enough for batches of one, of halves and of all in reverse order to differ."""


@dataclass(frozen=True, eq=False)
class _Call:
    """Tensors among a module's inputs and outputs in one pass."""

    name: str
    kind: str
    inputs: list[Tensor]
    outputs: list[Tensor]


def check_independence(model: nn.Module, x: Inputs) -> None:
    """Raise if the output of a network for a sample depends on the others of its batch, or is random.

    Parameters
    ----------
    model
        The network.
    x
        Inputs of a few samples that differ.

    Raises
    ------
    InvalidInputError
        If it does; the message names the innermost module that does so.
    """
    every = list(range(len(x)))
    _check_parts(model, x, [*([one] for one in every), every[::-1]])


def check_whole_batch(model: nn.Module, x: Inputs, output: Tensor | None = None) -> None:
    """Raise if the output for a sample depends on its place in a batch, on the batch's size or on its other samples.

    The batch is passed in two halves drawn at random, and one of its samples alone: whichever places a module treats
    otherwise, other samples come to stand there, and the size of the batch is another one. That takes as long as an
    activation pass.

    Parameters
    ----------
    model
        The network.
    x
        Inputs of a batch of the measurement.
    output
        Output of the network for the batch, to rounding, where it is known already.

    Raises
    ------
    InvalidInputError
        If it does; the message names the innermost module that does so.
    """
    shuffled = torch.randperm(len(x), generator=torch.Generator().manual_seed(len(x))).tolist()
    # The single sample comes first, as it costs least.
    parts = [shuffled[:1], shuffled[: len(x) // 2], shuffled[len(x) // 2 :]]
    parts = [part for part in parts if part]
    if output is None or _differs_somewhere(model, x, output, parts):
        _check_parts(model, x, parts)


@torch.no_grad()
def _differs_somewhere(model: nn.Module, x: Inputs, output: Tensor, parts: list[list[int]]) -> bool:
    """Whether the outputs for some samples are other ones than those given for all."""
    like = next(model.parameters()).dtype
    with torch.random.fork_rng(devices=[]):
        return any(_differs(model, x, output.to(like), part) is not False for part in parts)


def has_own_code(model: nn.Module) -> bool:
    """Whether a network runs any code of a user's own, which alone can look at places in a batch or at its size."""
    return any(
        type(module).__module__.split(".")[0] not in ("torch", "critlearn")
        or isinstance(module, fx.GraphModule)
        or "forward" in vars(module)
        or hooked(module)
        or isinstance(module, AdaptedModel)
        for module in model.modules()
    )


@torch.no_grad()
def _check_parts(model: nn.Module, x: Inputs, parts: list[list[int]]) -> None:
    """Raise if some samples have other outputs among themselves, in their order, than among all."""
    with torch.random.fork_rng(devices=[]):
        together = model(x)
        chosen = _dependent(model, x, together, parts)
        if chosen is None:
            return
        if not same_to_rounding(together, model(x)):
            where = _culprit(model, x, list(range(len(x))))
            raise InvalidInputError(f"{where} is random: it gives the same samples another output each time")
        raise InvalidInputError(
            f"{_culprit(model, x, chosen)} couples the samples of a batch: the output for a sample depends on the "
            "others, on its place among them or on their number, and no sample has a gradient of its own"
        )


def _dependent(model: nn.Module, x: Inputs, together: Tensor, parts: list[list[int]]) -> list[int] | None:
    """First of the parts in which samples have other outputs than among all; None if there is none."""
    single = next((part for part in parts if len(part) == 1), None)
    if len(x) > 1 and single is not None and _differs(model, x, together, single) is None:
        # The network cannot take batches of one, so halves are tried.
        halves = [list(range(len(x) // 2)), list(range(len(x) // 2, len(x)))]
        parts = [*(part for part in parts if len(part) > 1), *halves]
    return next((chosen for chosen in parts if _differs(model, x, together, chosen)), None)


def _differs(model: nn.Module, x: Inputs, together: Tensor, chosen: list[int]) -> bool | None:
    """Whether some samples have other outputs among themselves than among all; None if they cannot be passed."""
    try:
        apart = model(x[chosen])
    except RAISED_BY_USER_CODE:
        return None
    if not isinstance(apart, Tensor) or apart.shape[:1] != (len(chosen),):
        # One sample alone, where a network removes all dimensions of length 1.
        return None
    return not same_to_rounding(together[chosen], apart)


def same_to_rounding(one: Any, other: Any) -> bool:
    """Whether two tensors differ by no more than rounding; what is not finite must be so in both."""
    if one.shape != other.shape:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    difference = float((one - other).abs_().amax()) if one.numel() else 0.0
    if math.isfinite(difference):
        largest = max(float(one.amax()), -float(one.amin())) if one.numel() else 0.0
        return difference <= SAME_OUTPUT.get(one.dtype, SAME_OUTPUT_COARSE) * largest
    finite = one[torch.isfinite(one)].abs()
    largest = float(finite.max()) if len(finite) else 0.0
    tolerance = SAME_OUTPUT.get(one.dtype, SAME_OUTPUT_COARSE) * largest
    return torch.allclose(one, other, rtol=0.0, atol=tolerance, equal_nan=True)


def _culprit(model: nn.Module, x: Inputs, chosen: list[int]) -> str:
    """Describe the innermost module that gives different outputs for the same inputs."""
    with _recorded(model) as first:
        model(x)
    with _recorded(model) as second:
        model(x[chosen])
    # Calls are recorded when they end, so inner modules come before the module that calls them.
    for one, other in zip(first, second, strict=False):
        if one.name != other.name:
            break
        inputs = _pairs(one.inputs, other.inputs, len(x), chosen)
        outputs = _pairs(one.outputs, other.outputs, len(x), chosen)
        if (
            all(same_to_rounding(*pair) for pair in inputs)
            and not all(same_to_rounding(*pair) for pair in outputs)
            and one.name
        ):
            return f'module "{one.name}" ({one.kind})'
    return in_words("", model)


def _pairs(one: list[Tensor], other: list[Tensor], samples: int, chosen: list[int]) -> list[tuple[Tensor, Tensor]]:
    """Tensors of the chosen samples in two passes, of those that have the samples in their first dimension."""
    return [
        (whole[chosen], part)
        for whole, part in zip(one, other, strict=False)
        if whole.shape[:1] == (samples,) and part.shape[:1] == (len(chosen),)
    ]


@contextmanager
def _recorded(model: nn.Module) -> Iterator[list[_Call]]:
    """Record the calls of all modules, in the order in which they end."""
    calls: list[_Call] = []

    def recorder(name: str) -> Any:
        def hook(module: nn.Module, arguments: Any, keywords: Any, output: Any) -> None:
            tensors = [
                [part.detach().clone() for part in tree_leaves(parts) if isinstance(part, Tensor)]
                for parts in ((arguments, keywords), output)
            ]
            calls.append(_Call(name, type(module).__name__, *tensors))

        return hook

    handles = [module.register_forward_hook(recorder(name), with_kwargs=True) for name, module in model.named_modules()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()

"""Fixed point of an activation pass for a batch of inputs, or an error that says how the pass ends instead."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from critlearn.errors import InvalidInputError
from critlearn.network.checks.finiteness import UndefinedOutputError
from critlearn.network.graph.activation_pass import PassStatus, iterate

Step = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""One step of the pass: inputs in place, couplings, biases and states -> new states (sample, free neuron)."""

_ENDS: Final = {PassStatus.DIVERGES: "diverges", PassStatus.NOT_CONVERGED: "has not converged"}
"""Ends of a pass other than a fixed point or an oscillation, in words."""


def find_fixed_point(step: Step, clamped: Tensor, couplings: Tensor, bias: Tensor, *, most_steps: int) -> Tensor:
    """States (sample, free neuron) that one more step leaves as they are, searched for from zero.

    Parameters
    ----------
    step
        The step.
    clamped
        States with the inputs in place and all others zero, shape (sample, neuron).
    couplings, bias
        Weights as the step takes them, and one bias for each free neuron.
    most_steps
        Number of steps after which the search ends in any case.

    Raises
    ------
    UndefinedOutputError
        If the pass of a sample oscillates, diverges or has no end.
    """
    found: Tensor = _FixedPoint.apply(clamped, couplings, bias, step, most_steps)
    return found


class _FixedPoint(torch.autograd.Function):
    """Search for the fixed point as a constant for automatic differentiation; Newton's steps give its derivative."""

    @staticmethod
    def forward(clamped: Tensor, couplings: Tensor, bias: Tensor, step: Step, most_steps: int) -> Tensor:
        check_finite_inputs(clamped)
        once = partial(step, clamped, couplings, bias)
        start = clamped.new_zeros(len(clamped), len(bias))
        found = iterate(once, start, None, most_steps=most_steps, all_needed=True)
        changes = (once(found.state) - found.state).abs().amax(dim=1).tolist()
        ends = [(sample, *found.judged(sample, change)) for sample, change in enumerate(changes)]
        without = [end for end in ends if end[1] is not PassStatus.FIXED_POINT]
        if without:
            # The pass may have ended at the first failure: others have not converged only because of that.
            sample, status, period = min(without, key=lambda end: end[1] is PassStatus.NOT_CONVERGED)
            how = f"oscillates with period {period}" if period else f"{_ENDS[status]}"
            raise UndefinedOutputError(
                f"the activation pass has no fixed point at sample {sample} of a batch of {len(changes)}: it {how} "
                f"(last change {changes[sample]:.1e}); give a number of steps, or smaller weights"
            )
        return found.state

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[None, None, None, None, None]:
        return None, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor | None:
        return None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
        """One search for the whole batch if only the inputs differ; otherwise one search for each entry."""
        if in_dims[0] is not None and in_dims[1] is None and in_dims[2] is None:
            clamped = arguments[0].movedim(in_dims[0], 0)
            found = _FixedPoint.apply(clamped.reshape(-1, clamped.shape[-1]), *arguments[1:])
            return found.reshape(*clamped.shape[:-1], -1), 0
        rows = []
        for at in range(info.batch_size):
            own = [
                value if dim is None or not isinstance(value, Tensor) else value.select(dim, at)
                for value, dim in zip(arguments, in_dims, strict=True)
            ]
            rows.append(_FixedPoint.apply(*own))
        return torch.stack(rows), 0


def check_finite_inputs(clamped: Tensor) -> None:
    """Raise if the states (sample, neuron) that the data set are not finite; the sample is named.

    Raises
    ------
    InvalidInputError
        If they are not.
    """
    finite = torch.isfinite(clamped).all(dim=1)
    if not bool(finite.all()):
        sample = int((~finite).nonzero()[0, 0])
        raise InvalidInputError(f"the inputs are not finite at sample {sample} of a batch of {len(clamped)}")

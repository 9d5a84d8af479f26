"""Neural systems on arbitrary directed graphs: boundary neurons take their states from the data, bulk neurons follow.

The activation pass iterates ``x <- P x_boundary + (1 - P) f(W x + b)``. Source: theory, neural systems.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import torch
from torch import Tensor, nn

from critlearn.errors import InvalidInputError
from critlearn.network.modules import ActivationModule, hidden_activation

_TOLERANCE: Final = 1e-12
_MOST_STEPS: Final = 2000
_LARGEST: Final = 1e8
_PERIODS: Final = 8


class PassStatus(StrEnum):
    """Where an activation pass ended."""

    SETTLED = "fixed point"
    OSCILLATES = "oscillates"
    DIVERGES = "diverges"
    UNSETTLED = "not settled"


@dataclass(frozen=True, eq=False)
class ActivationPass:
    """States of all neurons after an activation pass.

    Parameters
    ----------
    states, pre_activations
        Shape (sample, neuron); pre-activations are ``W x + b`` of the states.
    residual
        Largest change that one more step would make, shape (sample,).
    statuses
        For each sample; the steps of a pass of fixed length are not judged but by their residual.
    periods
        Period of each sample that oscillates, 0 for the others.
    steps
        Steps that were made.
    """

    states: Tensor
    pre_activations: Tensor
    residual: Tensor
    statuses: tuple[PassStatus, ...]
    periods: tuple[int, ...]
    steps: int


class BulkBoundaryNetwork(nn.Module):
    """Neurons on a directed graph, with boundary neurons for inputs and outputs, as a module.

    Called with a batch of inputs it returns the pre-activations of the output neurons; the loss acts on these.
    Trainable are one weight for each edge and one bias for each neuron that is no input.

    Parameters
    ----------
    neurons
        Number of neurons.
    edges
        Edges (source, target), shape (2, edge). An edge into an input neuron has no effect and is refused.
    inputs, outputs
        Input and output neurons, in order.
    activations
        Activation of every neuron that is no input, one for all or one for each neuron: catalogue names, ``relu``, or
        modules that act on each entry.
    steps
        Steps of the activation pass; None for a fixed point, whose learning pass is by implicit differentiation.
    seed
        Of the weights, drawn as torch draws those of a dense layer with as many inputs as the neuron has edges.
    dtype
        Floating-point type.

    Raises
    ------
    InvalidInputError
        If neurons or edges are out of range, or boundary neurons overlap.

    Notes
    -----
    A fixed point is differentiated by two steps of Newton's method from it, in ordinary operations: their errors are
    of fourth order, so that first and second derivatives are those of the implicit function.
    """

    edges: Tensor
    _row: Tensor

    def __init__(
        self,
        neurons: int,
        edges: Tensor,
        *,
        inputs: Sequence[int],
        outputs: Sequence[int],
        activations: str | nn.Module | Sequence[str | nn.Module] = "tanh",
        steps: int | None = None,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        edges = torch.as_tensor(edges)
        _check_graph(neurons, edges, inputs, outputs, steps)
        self.neurons, self.steps = neurons, steps
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        given = set(inputs)
        self.free = tuple(neuron for neuron in range(neurons) if neuron not in given)
        place = torch.full((neurons,), -1)
        place[list(self.free)] = torch.arange(len(self.free))
        self.register_buffer("edges", edges.long(), persistent=False)
        self.register_buffer("_row", place[edges[1].long()], persistent=False)
        generator = torch.Generator().manual_seed(seed)
        counts = torch.bincount(self._row, minlength=len(self.free)).clamp(min=1).double()
        bound = 1 / counts.sqrt()
        weight = (2 * torch.rand(edges.shape[1], generator=generator, dtype=torch.float64) - 1) * bound[self._row]
        self.weight = nn.Parameter(weight.to(dtype))
        self.bias = nn.Parameter(((2 * torch.rand(len(self.free), generator=generator).double() - 1) * bound).to(dtype))
        groups = _grouped(activations, self.free, neurons)
        self.activations = nn.ModuleList(module for module, _ in groups)
        self.places = [chosen for _, chosen in groups]

    @property
    def boundary(self) -> Tensor:
        """Diagonal of the projector P on boundary neurons, shape (neuron,)."""
        mask = torch.zeros(self.neurons, dtype=torch.bool)
        mask[list(self.inputs + self.outputs)] = True
        return mask

    def dense_weight(self) -> Tensor:
        """Matrix W, shape (neuron, neuron): rows are targets, columns sources, zero where there is no edge."""
        matrix = self.weight.new_zeros(self.neurons, self.neurons)
        return matrix.index_put((self.edges[1], self.edges[0]), self.weight, accumulate=True)

    def forward(self, x: Tensor) -> Tensor:
        """Pre-activations of the output neurons, shape (sample, input) -> (sample, output).

        Raises
        ------
        InvalidInputError
            If inputs do not fit, or there is no fixed point to be found.
        """
        clamped = self._clamped(x)
        matrix = self._free_weight()
        if self.steps is not None:
            state = torch.zeros_like(clamped[:, list(self.free)])
            for _ in range(self.steps - 1):
                state = self._activated(self._pre_activation(matrix, clamped, state))
            y = self._pre_activation(matrix, clamped, state)
        else:
            state = _FixedPoint.apply(clamped, matrix.detach(), self.bias.detach(), self)
            for _ in range(2):
                state = self._newton(matrix, clamped, state)
            y = self._pre_activation(matrix, clamped, state)
        return y[:, [self.free.index(neuron) for neuron in self.outputs]]

    def activation_pass(self, x: Tensor, t: Tensor | None = None) -> ActivationPass:
        """States of all neurons for a batch of boundary states.

        Parameters
        ----------
        x
            Inputs, shape (sample, input).
        t
            States of the output neurons, shape (sample, output), which then are held; None to let them follow.
        """
        with torch.no_grad():
            clamped, matrix = self._clamped(x), self._free_weight()
            held = None if t is None else t.reshape(len(x), len(self.outputs)).to(clamped)
            steps = self.steps or _MOST_STEPS
            state = self._hold(torch.zeros_like(clamped[:, list(self.free)]), held)
            history, made = [state], 0
            for _ in range(steps):
                state = self._hold(self._activated(self._pre_activation(matrix, clamped, state)), held)
                history = [*history[-_PERIODS * 2 :], state]
                made += 1
                if self.steps is None and self._done(history):
                    break
            y = self._pre_activation(matrix, clamped, state)
            residual = (self._hold(self._activated(y), held) - state).abs().amax(dim=1)
            states = clamped.clone()
            states[:, list(self.free)] = state
            pre = torch.zeros_like(clamped)
            pre[:, list(self.free)] = y
            judged = [
                _judged([entry[sample] for entry in history], float(residual[sample])) for sample in range(len(x))
            ]
        return ActivationPass(
            states, pre, residual, tuple(status for status, _ in judged), tuple(period for _, period in judged), made
        )

    def boundary_loss(self, x: Tensor, t: Tensor) -> Tensor:
        """``|P (x - f(W x + b))|^2 / 2`` with the output neurons held at their targets, shape (sample,)."""
        return self._mismatch(x, t, [self.free.index(neuron) for neuron in self.outputs])

    def bulk_loss(self, x: Tensor, t: Tensor) -> Tensor:
        """``|x - f(W x + b)|^2 / 2`` over all neurons but the inputs, with the outputs held, shape (sample,).

        At a fixed point of the bulk it is the boundary loss.
        """
        return self._mismatch(x, t, list(range(len(self.free))))

    def _mismatch(self, x: Tensor, t: Tensor, chosen: list[int]) -> Tensor:
        found = self.activation_pass(x, t)
        free = list(self.free)
        # The states are held; the weights act through the pre-activations.
        y = self._pre_activation(self._free_weight(), self._clamped(x), found.states[:, free])
        return ((found.states[:, free] - self._activated(y))[:, chosen] ** 2).sum(dim=1) / 2

    def _hold(self, state: Tensor, held: Tensor | None) -> Tensor:
        if held is None:
            return state
        return state.index_copy(1, torch.tensor([self.free.index(neuron) for neuron in self.outputs]), held)

    def _clamped(self, x: Tensor) -> Tensor:
        """States with the inputs in place and all others zero."""
        if x.dim() != 2 or x.shape[1] != len(self.inputs):
            raise InvalidInputError(
                f"the network has {len(self.inputs)} input neurons and takes (sample, input); got {tuple(x.shape)}"
            )
        placing = torch.zeros(len(self.inputs), self.neurons, dtype=x.dtype, device=x.device)
        placing[torch.arange(len(self.inputs)), list(self.inputs)] = 1.0
        return x @ placing

    def _free_weight(self) -> Tensor:
        """Rows of W for neurons that are no inputs, shape (free neuron, neuron)."""
        matrix = self.weight.new_zeros(len(self.free), self.neurons)
        return matrix.index_put((self._row, self.edges[0]), self.weight, accumulate=True)

    def _pre_activation(self, matrix: Tensor, clamped: Tensor, state: Tensor) -> Tensor:
        return clamped @ matrix.T + state @ matrix[:, list(self.free)].T + self.bias

    def _activated(self, y: Tensor) -> Tensor:
        parts = [module(y[:, chosen]) for module, chosen in zip(self.activations, self.places, strict=True)]
        return torch.cat(parts, dim=1)[:, torch.cat(self.places).argsort()]

    def _newton(self, matrix: Tensor, clamped: Tensor, state: Tensor) -> Tensor:
        """One step of Newton's method towards ``state = f(W x + b)``, differentiable in all its arguments."""
        y = self._pre_activation(matrix, clamped, state)
        slope = self._slope(y)
        inner = matrix[:, list(self.free)]
        system = torch.eye(len(self.free), dtype=y.dtype, device=y.device) - slope[:, :, None] * inner
        return state + torch.linalg.solve(system, (self._activated(y) - state)[:, :, None])[:, :, 0]

    def _slope(self, y: Tensor) -> Tensor:
        """``f'`` of every neuron that is no input."""
        parts = [_slope_of(module, y[:, chosen]) for module, chosen in zip(self.activations, self.places, strict=True)]
        return torch.cat(parts, dim=1)[:, torch.cat(self.places).argsort()]

    @staticmethod
    def _done(history: list[Tensor]) -> bool:
        """Whether every sample has settled, come back to an earlier state, or left all bounds."""
        last = history[-1]
        size = 1 + last.abs().amax(dim=1)
        done = ~torch.isfinite(size) | (size > _LARGEST)
        for before in history[-1 - _PERIODS : -1]:
            done |= (last - before).abs().amax(dim=1) <= max(_TOLERANCE, 8 * torch.finfo(last.dtype).eps) * size
        return bool(done.all())


class _FixedPoint(torch.autograd.Function):
    """Search for the fixed point: outside of differentiation, which Newton's steps take care of."""

    @staticmethod
    def forward(clamped: Tensor, matrix: Tensor, bias: Tensor, network: BulkBoundaryNetwork) -> Tensor:
        state = torch.zeros_like(clamped[:, list(network.free)])
        history = [state]
        for _ in range(_MOST_STEPS):
            y = clamped @ matrix.T + state @ matrix[:, list(network.free)].T + bias
            state = network._activated(y)
            history = [*history[-_PERIODS * 2 :], state]
            if network._done(history):
                break
        for sample in range(len(state)):
            change = float((history[-1][sample] - history[-2][sample]).abs().max())
            status, period = _judged([entry[sample] for entry in history], change)
            if status is not PassStatus.SETTLED:
                how = f" with period {period}" if period else ""
                raise InvalidInputError(
                    f"the activation pass has no fixed point at sample {sample} of a batch of {len(state)}: it is "
                    f"{status}{how} (last change {change:.1e}); give a number of steps, or smaller weights"
                )
        return state

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[None, None, None, None]:
        return None, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor | None:
        return None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
        """One search for all where only the inputs differ; otherwise every entry of the batch by itself."""
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


def _judged(history: list[Tensor], residual: float) -> tuple[PassStatus, int]:
    """Status of one sample from its last states, and the period if it oscillates."""
    last = history[-1]
    size = 1 + float(last.abs().max())
    if not math.isfinite(size) or size > _LARGEST:
        return PassStatus.DIVERGES, 0
    near = max(1e-9, 100 * torch.finfo(last.dtype).eps) * size
    if residual <= near:
        return PassStatus.SETTLED, 0
    for period in range(2, min(_PERIODS, len(history) - 1) + 1):
        if float((last - history[-1 - period]).abs().max()) <= near:
            return PassStatus.OSCILLATES, period
    return PassStatus.UNSETTLED, 0


def _slope_of(module: nn.Module, y: Tensor) -> Tensor:
    """Derivative of an activation in differentiable operations."""
    if isinstance(module, ActivationModule):
        return module.activation.derivative(y)
    if isinstance(module, nn.Identity):
        return torch.ones_like(y)
    if isinstance(module, nn.ReLU):
        return (y > 0).to(y.dtype)
    return torch.func.jvp(module, (y,), (torch.ones_like(y),))[1]


def _grouped(
    activations: str | nn.Module | Sequence[str | nn.Module], free: tuple[int, ...], neurons: int
) -> list[tuple[nn.Module, Tensor]]:
    """Activations with the places of the neurons that have them."""
    if isinstance(activations, str | nn.Module):
        return [(_module(activations), torch.arange(len(free)))]
    if len(activations) != neurons:
        raise InvalidInputError(f"a network of {neurons} neurons needs one activation or {neurons}")
    places: dict[Any, list[int]] = {}
    for place, neuron in enumerate(free):
        key = activations[neuron]
        places.setdefault(key if isinstance(key, str) else id(key), []).append(place)
    modules = {key if isinstance(key, str) else id(key): key for key in activations}
    return [(_module(modules[key]), torch.tensor(chosen)) for key, chosen in places.items()]


def _module(activation: str | nn.Module) -> nn.Module:
    if isinstance(activation, nn.Module):
        return activation
    return nn.Identity() if activation == "identity" else hidden_activation(activation)


def _check_graph(neurons: int, edges: Tensor, inputs: Sequence[int], outputs: Sequence[int], steps: int | None) -> None:
    """Refuse what is no graph with a boundary."""
    if edges.dim() != 2 or edges.shape[0] != 2 or edges.shape[1] == 0:
        raise InvalidInputError(f"edges are pairs (source, target), shape (2, edge); got {tuple(edges.shape)}")
    if int(edges.min()) < 0 or int(edges.max()) >= neurons:
        raise InvalidInputError(f"edges join neurons 0 to {neurons - 1}; got {int(edges.min())} to {int(edges.max())}")
    ends = [*inputs, *outputs]
    if not inputs or not outputs or len(set(ends)) != len(ends) or not set(ends) <= set(range(neurons)):
        raise InvalidInputError(
            f"inputs and outputs are different neurons from 0 to {neurons - 1}, one of each at least; "
            f"got inputs {list(inputs)} and outputs {list(outputs)}"
        )
    if bool(torch.isin(edges[1], torch.tensor(list(inputs))).any()):
        raise InvalidInputError("an edge into an input neuron has no effect: its state is the data's")
    if steps is not None and steps < 1:
        raise InvalidInputError(f"an activation pass needs at least one step; got {steps}")

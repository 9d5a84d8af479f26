"""Neural systems on arbitrary directed graphs: boundary neurons take their states from the data, bulk neurons follow.

The activation pass iterates ``x <- P x_boundary + (1 - P) f(W x + b)``. Source: theory, neural systems.
"""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from critlearn.errors import InvalidInputError
from critlearn.network.criteria import MOST_STEPS
from critlearn.network.graph.activation_pass import ActivationPass, iterate
from critlearn.network.graph.fixed_point import check_finite_inputs, find_fixed_point
from critlearn.network.graph.parts import check_graph, check_steps, grouped, slope_of, values_of

_DENSE_SHARE: Final = 1 / 16
"""Share of the entries of W that are edges above which a product with W is faster than a sum over edges."""

_DENSE_NEURONS: Final = 128
"""Neurons up to which W is so small that products with it are faster in any case."""


_Function = Callable[[Tensor], Tensor]


class BulkBoundaryNetwork(nn.Module):
    """Network of neurons on a directed graph, with boundary neurons for inputs and outputs.

    Called with a batch of inputs, it returns the pre-activations of the output neurons, on which the loss acts. Its
    trainable variables are one weight for each edge and one bias for each neuron that is no input.

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
    most_steps
        Steps after which a pass to a fixed point is refused as not converged.
    seed
        Seed of the weights, drawn as torch draws those of a dense layer with as many inputs as the neuron has edges.
    dtype
        Floating-point type.

    Raises
    ------
    InvalidInputError
        If neurons or edges are out of range, or boundary neurons overlap.

    Notes
    -----
    A fixed point is differentiated through two steps of Newton's method from it, in ordinary operations: their errors
    are of fourth order, so first and second derivatives are those of the implicit function. Newton's steps solve linear
    systems of all neurons; a pass of a fixed number of steps needs memory for the edges only.
    """

    edges: Tensor
    _row: Tensor
    _free: Tensor
    _outputs: Tensor
    _order: Tensor

    def __init__(
        self,
        neurons: int,
        edges: Tensor,
        *,
        inputs: Sequence[int],
        outputs: Sequence[int],
        activations: str | nn.Module | Sequence[str | nn.Module] = "tanh",
        steps: int | None = None,
        most_steps: int = MOST_STEPS,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        edges = torch.as_tensor(edges)
        check_graph(neurons, edges, inputs, outputs)
        for number in (most_steps,) if steps is None else (steps, most_steps):
            check_steps(number)
        self.neurons, self.steps, self.most_steps = neurons, steps, most_steps
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        held = set(inputs)
        self.free = tuple(neuron for neuron in range(neurons) if neuron not in held)
        place = torch.full((neurons,), -1)
        place[list(self.free)] = torch.arange(len(self.free))
        self.register_buffer("edges", edges.long(), persistent=False)
        self.register_buffer("_row", place[edges[1].long()], persistent=False)
        self.register_buffer("_free", torch.tensor(self.free, dtype=torch.long), persistent=False)
        self.register_buffer("_outputs", place[list(outputs)], persistent=False)
        self._dense = neurons <= _DENSE_NEURONS or edges.shape[1] >= _DENSE_SHARE * neurons * len(self.free)
        generator = torch.Generator().manual_seed(seed)
        counts = torch.bincount(self._row, minlength=len(self.free)).clamp(min=1).double()
        bound = 1 / counts.sqrt()
        weight = (2 * torch.rand(edges.shape[1], generator=generator, dtype=torch.float64) - 1) * bound[self._row]
        self.weight = nn.Parameter(weight.to(dtype))
        self.bias = nn.Parameter(((2 * torch.rand(len(self.free), generator=generator).double() - 1) * bound).to(dtype))
        groups = grouped(activations, self.free, neurons)
        self.activations = nn.ModuleList(module for module, _ in groups)
        self.places = [chosen for _, chosen in groups]
        self.register_buffer("_order", torch.cat(self.places).argsort(), persistent=False)

    @classmethod
    def from_matrix(
        cls,
        weights: Tensor,
        mask: Tensor | None = None,
        *,
        inputs: Sequence[int],
        outputs: Sequence[int],
        activations: str | nn.Module | Sequence[str | nn.Module] = "tanh",
        steps: int | None = None,
        most_steps: int = MOST_STEPS,
    ) -> "BulkBoundaryNetwork":
        """Make a network from a matrix of weights, in their precision.

        Parameters
        ----------
        weights
            Matrix W, shape (neuron, neuron): rows are targets, columns sources.
        mask
            Entries that are edges, of the same shape; by default those that are not zero.
        inputs, outputs, activations, steps, most_steps
            As for the network itself.

        Raises
        ------
        InvalidInputError
            If the matrix and its mask do not fit, or there is no such network.
        """
        if weights.dim() != 2 or weights.shape[0] != weights.shape[1] or not weights.is_floating_point():
            raise InvalidInputError(
                f"weights are a square matrix of floating-point numbers; got {tuple(weights.shape)}, {weights.dtype}"
            )
        mask = weights != 0 if mask is None else mask
        if mask.shape != weights.shape or mask.dtype != torch.bool:
            raise InvalidInputError(
                f"the mask has the shape {tuple(weights.shape)} of the weights and is True at edges; "
                f"got {tuple(mask.shape)}, {mask.dtype}"
            )
        targets, sources = mask.nonzero(as_tuple=True)
        edges = torch.stack([sources, targets])
        network = cls(
            len(weights), edges, inputs=inputs, outputs=outputs, activations=activations, steps=steps,
            most_steps=most_steps, dtype=weights.dtype,
        )  # fmt: skip
        with torch.no_grad():
            network.weight.copy_(weights[targets, sources])
        return network

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
        clamped, couplings = self._clamped(x), self._couplings()
        every = torch.ones_like(self.bias.detach())
        state = self._end(clamped, couplings, every, None if self.steps is None else self.steps - 1)
        return self._pre_activation(couplings, clamped, state)[:, self._outputs]

    def _end(self, clamped: Tensor, couplings: Tensor, evolving: Tensor, steps: int | None) -> Tensor:
        """States of the free neurons at the end of a pass, differentiable; those that do not evolve stay at zero.

        Parameters
        ----------
        clamped
            States that are held, in place, and all others zero.
        couplings
            Weights in the form for a pass.
        evolving
            1 for free neurons that evolve, 0 for those that are held, whose states stand in `clamped`.
        steps
            Steps of the pass; None for its fixed point.
        """
        if steps is not None:
            state = torch.zeros_like(clamped[:, self._free])
            for _ in range(steps):
                state = evolving * self._step(clamped, couplings, self.bias, state)
            return state
        constants = couplings.detach(), self.bias.detach()
        search = self._undifferentiated()
        state = find_fixed_point(
            lambda x, w, b, at: evolving * self._step(x, w, b, at, search),
            clamped,
            *constants,
            most_steps=self.most_steps,
        )
        matrix = couplings if self._dense else self._free_weight()
        for _ in range(2):
            state = self._newton(matrix, clamped, state, evolving)
        return state

    def activation_pass(self, x: Tensor, t: Tensor | None = None) -> ActivationPass:
        """States of all neurons for a batch of boundary states.

        Parameters
        ----------
        x
            Inputs, shape (sample, input).
        t
            States at which the output neurons are clamped, shape (sample, output); None to let them evolve.

        Raises
        ------
        InvalidInputError
            If inputs or targets do not fit, or an input is not finite.
        """
        with torch.no_grad():
            clamped, couplings = self._clamped(x), self._couplings()
            held = None if t is None else self._held(x, t)
            check_finite_inputs(clamped)
            functions = self._undifferentiated()

            def step(state: Tensor) -> Tensor:
                return self._hold(self._step(clamped, couplings, self.bias, state, functions), held)

            found = iterate(
                step, self._hold(torch.zeros_like(clamped[:, self._free]), held), self.steps, most_steps=self.most_steps
            )
            residual = (step(found.state) - found.state).abs().amax(dim=1)
            states, pre = clamped.clone(), torch.zeros_like(clamped)
            states[:, self._free] = found.state
            pre[:, self._free] = self._pre_activation(couplings, clamped, found.state)
            judged = [found.judged(sample, float(residual[sample])) for sample in range(len(x))]
        return ActivationPass(
            states,
            pre,
            residual,
            tuple(status for status, _ in judged),
            tuple(period for _, period in judged),
            found.steps,
        )

    def boundary_loss(self, x: Tensor, t: Tensor) -> Tensor:
        """``|P (x - f(W x + b))|^2 / 2`` with the output neurons held at their targets, shape (sample,).

        Its gradient is the true one: the states of the bulk move with the weights, unrolled for a number of steps and
        by implicit differentiation at a fixed point.

        Raises
        ------
        InvalidInputError
            If inputs or targets do not fit, or the pass has no fixed point where one is needed.
        """
        return self._mismatch(x, t, self._outputs)

    def bulk_loss(self, x: Tensor, t: Tensor) -> Tensor:
        """``|x - f(W x + b)|^2 / 2`` over all neurons but the inputs, with the outputs held, shape (sample,).

        At a fixed point of the bulk it is the boundary loss. Its gradient is the true one, as that of `boundary_loss`.

        Raises
        ------
        InvalidInputError
            If inputs or targets do not fit, or the pass has no fixed point where one is needed.
        """
        return self._mismatch(x, t, torch.arange(len(self.free), device=self._free.device))

    def _mismatch(self, x: Tensor, t: Tensor, chosen: Tensor) -> Tensor:
        clamped, couplings = self._clamped(x), self._couplings()
        held = self._held(x, t)
        # Outputs that are held act as inputs do: their states stand with those of the inputs.
        clamped = clamped.index_copy(1, self._free[self._outputs], held)
        evolving = torch.ones_like(self.bias.detach()).index_fill(0, self._outputs, 0.0)
        state = self._end(clamped, couplings, evolving, self.steps)
        after = self._step(clamped, couplings, self.bias, state)
        return ((clamped[:, self._free] + state - after)[:, chosen] ** 2).sum(dim=1) / 2

    def _held(self, x: Tensor, t: Tensor) -> Tensor:
        """States of the output neurons that are held, shape (sample, output)."""
        if t.shape[:1] != x.shape[:1] or t.numel() != len(x) * len(self.outputs):
            raise InvalidInputError(
                f"the network has {len(self.outputs)} output neurons: targets of {len(x)} samples have the shape "
                f"({len(x)}, {len(self.outputs)}); got {tuple(t.shape)}"
            )
        return t.reshape(len(x), len(self.outputs)).to(self.weight)

    def _hold(self, state: Tensor, held: Tensor | None) -> Tensor:
        return state if held is None else state.index_copy(1, self._outputs, held)

    def _clamped(self, x: Tensor) -> Tensor:
        """States with the inputs in place and all others zero."""
        if x.dim() != 2 or x.shape[1] != len(self.inputs):
            raise InvalidInputError(
                f"the network has {len(self.inputs)} input neurons and takes (sample, input); got {tuple(x.shape)}"
            )
        if x.dtype != self.weight.dtype:
            raise InvalidInputError(f"the network is of type {self.weight.dtype}; got inputs of type {x.dtype}")
        places = torch.tensor(self.inputs, device=x.device)
        return x.new_zeros(len(x), self.neurons).index_add(1, places, x)

    def _couplings(self) -> Tensor:
        """Weights in the form for a pass: rows of W for neurons that are no inputs, or one weight for each edge."""
        return self._free_weight() if self._dense else self.weight

    def _free_weight(self) -> Tensor:
        """Rows of W for neurons that are no inputs, shape (free neuron, neuron)."""
        matrix = self.weight.new_zeros(len(self.free), self.neurons)
        return matrix.index_put((self._row, self.edges[0]), self.weight, accumulate=True)

    def _pre_activation(self, couplings: Tensor, clamped: Tensor, state: Tensor) -> Tensor:
        return self._sums(couplings, clamped, state) + self.bias

    def _sums(self, couplings: Tensor, clamped: Tensor, state: Tensor) -> Tensor:
        """``W x``, shape (sample, free neuron)."""
        if couplings.dim() == 2:
            return clamped @ couplings.T + state @ couplings[:, self._free].T
        every = clamped.index_add(1, self._free, state)
        return torch.zeros_like(state).index_add(1, self._row, every[:, self.edges[0]] * couplings)

    def _undifferentiated(self) -> list[_Function]:
        """Activations as functions for a pass that is not differentiated."""
        return [values_of(module) for module in self.activations]

    def _activated(self, y: Tensor, functions: list[_Function] | None = None) -> Tensor:
        every: list[_Function] = list(self.activations) if functions is None else functions
        if len(every) == 1:
            return every[0](y)
        parts = [function(y[:, chosen]) for function, chosen in zip(every, self.places, strict=True)]
        return torch.cat(parts, dim=1)[:, self._order]

    def _step(
        self,
        clamped: Tensor,
        couplings: Tensor,
        bias: Tensor,
        state: Tensor,
        functions: list[_Function] | None = None,
    ) -> Tensor:
        """One step of the activation pass, ``f(W x + b)``, for any couplings and biases, by modules or functions."""
        return self._activated(self._sums(couplings, clamped, state) + bias, functions)

    def _newton(self, matrix: Tensor, clamped: Tensor, state: Tensor, evolving: Tensor) -> Tensor:
        """One step of Newton's method towards ``state = f(W x + b)``, differentiable in all its arguments."""
        y = self._pre_activation(matrix, clamped, state)
        slope = evolving * self._slope(y)
        inner = matrix[:, self._free]
        system = torch.eye(len(self.free), dtype=y.dtype, device=y.device) - slope[:, :, None] * inner
        return state + torch.linalg.solve(system, (evolving * self._activated(y) - state)[:, :, None])[:, :, 0]

    def _slope(self, y: Tensor) -> Tensor:
        """``f'`` of every neuron that is no input."""
        parts = [slope_of(module, y[:, chosen]) for module, chosen in zip(self.activations, self.places, strict=True)]
        return torch.cat(parts, dim=1)[:, self._order]

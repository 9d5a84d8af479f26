"""Jacobian of any network's duality map as a linear operator, without forming the |q| x K matrix unless asked to.

The map is the pull-back of the output errors through the network. The errors enter by their values and first
derivatives at the boundary state, which are exact in the tail; the rest is automatic differentiation: forward over
reverse for ``J v``, reverse over reverse for ``J^T w``.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from critlearn.duality.jacobian.output_response import OutputResponse
from critlearn.errors import RAISED_BY_USER_CODE
from critlearn.network.backward.learning_pass import parameter_places, without_advice

_WRITTEN_OUT: Final = 64 << 20
"""Bytes of tangents computed in one batch."""


class JacobianOperator:
    """Operator ``J`` at one boundary state for unit learning rate, in units of ``exp(log_unit)``.

    Parameters
    ----------
    model
        Network in double precision, in evaluation mode.
    names
        Names of the trainable variables, in order.
    x
        Input, without batch dimension.
    response
        Errors and derivatives for this one sample.
    output
        Output of the network for it, shape (output,).
    """

    def __init__(self, model: nn.Module, names: list[str], x: Tensor, response: OutputResponse, output: Tensor) -> None:
        self.model, self.x = model, x
        self.values = {name: value.detach() for name, value in model.named_parameters() if name in names}
        self._fixed = {name: value.detach() for name, value in model.named_parameters() if name not in self.values}
        self._places = parameter_places(model)
        self.error, self.by_output = response.error[0], response.by_output[0]
        self.by_target, self.log_unit = response.by_target[0], float(response.log_scale[0])
        self.output = output
        self.targets = self.by_target.shape[1]
        self.shape = (sum(value.numel() for value in self.values.values()), x.numel() + self.targets)

    def call(self, values: dict[str, Tensor], x: Tensor) -> Tensor:
        """Output of the network with some values of its variables, shape (output,)."""
        every = {**self._fixed, **values}
        substitutes = {place: every[name] for place, name in self._places.items()}
        # Torch's fused attention has no second derivative.
        with sdpa_kernel(SDPBackend.MATH):
            return functional_call(self.model, substitutes, (x.unsqueeze(0),), tie_weights=False).reshape(-1)

    def errors(self, output: Tensor, target_change: Tensor) -> Tensor:
        """Output errors to first order in the changes of output and target, which gives exact first derivatives."""
        return self.error + self.by_output @ (output - self.output) + self.by_target @ target_change

    def _gradients(self, x: Tensor, target_change: Tensor) -> Tensor:
        """Gradients of the trainable variables in one vector, by ``torch.func``."""
        pulled: Any = vjp(lambda values: self.call(values, x), self.values)
        output, pull = pulled
        (gradients,) = pull(self.errors(output, target_change))
        return torch.cat([gradients[name].reshape(-1) for name in self.values])

    def parts(self, boundary: Tensor) -> tuple[Tensor, Tensor]:
        """Split a boundary vector into the input and the change of the target."""
        size = self.x.numel()
        return boundary[:size].reshape(self.x.shape), boundary[size:]

    def jvp(self, direction: Tensor) -> Tensor:
        """``J v``, shape (variable,), for a direction (boundary,)."""
        start = (self.x, self.x.new_zeros(self.targets))
        return -self._either(
            lambda: jvp(self._gradients, start, self.parts(direction))[1],
            lambda: self._tape(lambda value, point: self._forward_by_reverse(value, point, direction)),
        )

    def vjp(self, weights: Tensor) -> Tensor:
        """``J^T w``, shape (boundary,), for weights of the variables (variable,)."""
        return -self._either(
            lambda: torch.cat([part.reshape(-1) for part in self._pulled(weights)]),
            lambda: self._tape(lambda value, point: torch.autograd.grad(value, point, weights)[0]),
        )

    def _pulled(self, weights: Tensor) -> tuple[Tensor, ...]:
        return vjp(self._gradients, self.x, self.x.new_zeros(self.targets))[1](weights)

    def columns(self, directions: Tensor) -> Tensor:
        """``J V`` for several directions (boundary, direction), shape (variable, direction)."""
        start = (self.x, self.x.new_zeros(self.targets))
        step = max(1, _WRITTEN_OUT // (8 * self.shape[0]))

        def along(direction: Tensor) -> Tensor:
            return jvp(self._gradients, start, self.parts(direction))[1]

        pieces = directions.T.split(step) if directions.shape[1] else ()
        found = [self._either(partial(vmap(along), piece), partial(self._one_by_one, piece)) for piece in pieces]
        return -torch.cat(found).T if found else self.x.new_zeros(self.shape[0], 0)

    def rows(self, x: Tensor, response: OutputResponse, output: Tensor, chosen: list[int]) -> Tensor:
        """Chosen rows of the Jacobians at many boundary states, shape (sample, row, boundary), each in its own unit.

        Parameters
        ----------
        x, response, output
            Inputs, errors and outputs of the samples, as those of the operator's own.
        chosen
            Positions of the rows.
        """
        every = torch.eye(self.shape[1], dtype=x.dtype, device=x.device)

        def at_one(*parts: Tensor) -> Tensor:
            other = copy.copy(self)
            other.x, other.error, other.by_output, other.by_target, other.output = parts
            start = (other.x, other.x.new_zeros(self.targets))
            return vmap(lambda along: jvp(other._gradients, start, self.parts(along))[1][chosen])(every).T

        def one_by_one(*parts: Tensor) -> Tensor:
            found = []
            for part in zip(*parts, strict=True):
                other = copy.copy(self)
                other.x, other.error, other.by_output, other.by_target, other.output = part
                found.append(-other.columns(every)[chosen])
            return torch.stack(found)

        step = max(1, _WRITTEN_OUT // (8 * self.shape[0] * self.shape[1]))
        samples = (x, response.error, response.by_output, response.by_target, output)
        pieces = zip(*[part.split(step) for part in samples], strict=True)
        with without_advice():
            found = [self._either(partial(vmap(at_one), *piece), partial(one_by_one, *piece)) for piece in pieces]
        return -torch.cat(found) if found else x.new_zeros(0, len(chosen), self.shape[1])

    def _one_by_one(self, directions: Tensor) -> Tensor:
        return torch.stack([-self.jvp(direction) for direction in directions])

    @staticmethod
    def _either(first: Callable[[], Tensor], second: Callable[[], Tensor]) -> Tensor:
        """Result of ``torch.func``, or of plain automatic differentiation if it refuses (some recurrent layers)."""
        try:
            return first().detach()
        except RAISED_BY_USER_CODE:
            return second().detach()

    def _tape(self, use: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Call a function with the gradients, on an autograd tape of the boundary state, and with that state."""
        with torch.enable_grad():
            start = torch.cat([self.x.reshape(-1), self.x.new_zeros(self.targets)])
            point = start.detach().requires_grad_()
            values = {name: value.detach().requires_grad_() for name, value in self.values.items()}
            x, target_change = self.parts(point)
            output = self.call(values, x)
            error = self.errors(output, target_change)
            gradients = torch.autograd.grad(output, list(values.values()), error, create_graph=True, allow_unused=True)
            flat = torch.cat(
                [
                    (torch.zeros_like(value) if gradient is None else gradient).reshape(-1)
                    for value, gradient in zip(values.values(), gradients, strict=True)
                ]
            )
            return use(flat, point)

    @staticmethod
    def _forward_by_reverse(value: Tensor, point: Tensor, direction: Tensor) -> Tensor:
        """``J v`` by reverse mode alone: ``J^T w`` is linear in w, and its derivative by w along v is ``J v``."""
        weights = torch.zeros_like(value, requires_grad=True)
        (pulled,) = torch.autograd.grad(value, point, weights, create_graph=True)
        return torch.autograd.grad(pulled, weights, direction)[0]

"""Jacobian of a chain of dense layers, for a batch of samples, without one row for every trainable variable.

For a layer with input a and error e the change is an outer product, ``dW = e a^T``, and its differential
``de a^T + e da^T`` has the same length as the stacked vectors ``|a| de + e (u . da)`` and ``|e| (1 - u u^T) da`` with
``u = a / |a|``. This isometry reduces (outputs * inputs) rows to (outputs + inputs). A bias is the weight of one more
input that is 1. Source: theory, duality map.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from critlearn.compositions import OutputLoss, SoftTargetCrossEntropy
from critlearn.duality.jacobian.dense_chain import DenseLayer, Slopes, slopes
from critlearn.duality.jacobian.output_response import OutputResponse, output_response
from critlearn.duality.jacobian.tangent_basis import TangentBasis, tangent_basis, without_null


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of one layer, shape (sample, row, direction), in units of ``exp(log_unit)``, shape (sample,)."""

    layer: str
    rows: Tensor
    log_unit: Tensor


@dataclass(frozen=True, eq=False)
class DenseStack:
    """Rows isometric to the Jacobian at unit learning rate, for every sample of a batch.

    Parameters
    ----------
    blocks
        From the last layer to the first.
    basis
        The directions that the columns stand for.
    log_untouched
        Logarithm of the one singular value of all input directions outside of the basis, shape (sample,).
    """

    blocks: tuple[Block, ...]
    basis: TangentBasis
    log_untouched: Tensor

    def together(self) -> tuple[Tensor, Tensor]:
        """All rows in a common unit for each sample, and its logarithm."""
        return stacked(self.blocks)


def stacked(blocks: tuple[Block, ...]) -> tuple[Tensor, Tensor]:
    """Rows of blocks in a common unit, shape (sample, row, direction), and the unit's logarithm."""
    unit = torch.stack([block.log_unit for block in blocks]).amax(dim=0)
    unit = torch.where(torch.isneginf(unit), 0.0, unit)
    return torch.cat([block.rows * (block.log_unit - unit).exp()[:, None, None] for block in blocks], dim=1), unit


@torch.no_grad()
def dense_stack(layers: list[DenseLayer], loss: OutputLoss, x: Tensor, t: Tensor, *, targets: bool) -> DenseStack:
    """Stack for inputs (sample, input) in double precision and targets as the loss takes them.

    Parameters
    ----------
    targets
        Whether targets are coordinates.
    """
    states, activations = [x], []
    for layer in layers:
        y = layer.linear(states[-1])
        activations.append(None if layer.activation is None else slopes(layer.activation, y))
        states.append(y if layer.activation is None else layer.activation(y))
    response = output_response(loss, states[-1], t)
    if not targets:
        response = response.without_targets()
    basis = tangent_basis(layers[0].linear.weight, x, response.by_target)
    if targets and isinstance(loss, SoftTargetCrossEntropy):
        # Adding a multiple of p to the targets changes no error, as e = p sum(t) - t.
        p = states[-1].softmax(dim=1)
        basis = without_null(basis, p / p.norm(dim=1, keepdim=True))
    state_tangents, bends = _forward(layers, basis, activations)
    return _backward(layers, basis, states, state_tangents, activations, bends, response)


def _forward(
    layers: list[DenseLayer], basis: TangentBasis, activations: list[Slopes | None]
) -> tuple[list[Tensor], list[Tensor]]:
    """Changes of the states and of the pre-activations of each layer along the directions of the basis."""
    tangents: list[Tensor] = []
    bends: list[Tensor] = []
    for at, layer in enumerate(layers):
        weight = layer.linear.weight
        change = basis.mapped(weight) if at == 0 else weight @ tangents[-1]
        bends.append(change)
        known = activations[at]
        tangents.append(change if known is None else known.true_slope()[:, :, None] * change)
    return tangents, bends


def _backward(
    layers: list[DenseLayer],
    basis: TangentBasis,
    states: list[Tensor],
    tangents: list[Tensor],
    activations: list[Slopes | None],
    bends: list[Tensor],
    response: OutputResponse,
) -> DenseStack:
    """Back-propagate errors and their changes, and collect the rows of each layer."""
    error, log_unit = response.error, response.log_scale
    change = response.by_output @ tangents[-1]
    change[:, :, basis.inputs :] += response.by_target @ basis.target
    blocks = []
    for at in range(len(layers) - 1, -1, -1):
        layer, known = layers[at], activations[at]
        if known is not None:
            change = known.slope[:, :, None] * change + (known.curvature * error)[:, :, None] * bends[at]
            error, log_unit = known.slope * error, log_unit + known.log_unit
        # Unit size after each layer: deep or saturated layers would underflow otherwise.
        error, change, log_unit = _scaled(error, change, log_unit)
        if at == 0:
            inputs, input_change = basis.coordinates(states[0]), None
        else:
            inputs, input_change = states[at], tangents[at - 1]
        rows = _rows(layer, error, change, inputs, input_change)
        if rows is not None:
            blocks.append(Block(layer.name, rows, log_unit))
        if at:
            error, change = error @ layer.linear.weight, layer.linear.weight.T @ change
    log_untouched = torch.full_like(log_unit, -math.inf)
    if layers[0].weight_trained:
        log_untouched = error.norm(dim=1).log() + log_unit
    return DenseStack(tuple(blocks), basis, log_untouched)


def _scaled(error: Tensor, change: Tensor, log_unit: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Errors and changes in units of their largest entry."""
    largest = torch.maximum(error.abs().amax(dim=1), change.abs().flatten(1).amax(dim=1))
    largest = torch.where(largest == 0, 1.0, largest)
    return error / largest[:, None], change / largest[:, None, None], log_unit + largest.log()


def _rows(
    layer: DenseLayer, error: Tensor, change: Tensor, inputs: Tensor, input_change: Tensor | None
) -> Tensor | None:
    """Rows of one layer; ``input_change`` is None for the first, whose inputs change along the basis itself."""
    if not layer.weight_trained:
        return change if layer.bias_trained else None
    samples, _, directions = change.shape
    width = inputs.shape[1]
    if input_change is None:
        input_change = torch.eye(width, directions, dtype=change.dtype, device=change.device)
        input_change = input_change.expand(samples, width, directions)
    if layer.bias_trained:
        inputs = torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1)
        input_change = torch.cat([input_change, torch.zeros_like(input_change[:, :1])], dim=1)
    # The isometry of the module's docstring: u = a / |a|, and projected = u . da.
    length = inputs.norm(dim=1)
    along = inputs / torch.where(length == 0, 1.0, length)[:, None]
    projected = along[:, None, :] @ input_change
    first = length[:, None, None] * change + error[:, :, None] * projected
    second = error.norm(dim=1)[:, None, None] * (input_change - along[:, :, None] * projected)
    return torch.cat([first, second], dim=1)

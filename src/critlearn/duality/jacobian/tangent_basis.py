"""Directions of the boundary space that a dense network distinguishes; all others have one known singular value."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TangentBasis:
    """Orthonormal directions of the boundary space for each sample of a batch.

    Only along these does the Jacobian have to be computed; `untouched` and `null` count the others.

    Parameters
    ----------
    shared
        Input directions that all samples have, shape (input, direction): a basis of the rows of the first weights.
    own
        Each sample's component outside of them, of length 1, shape (sample, input); None if there is no outside.
    target
        Target directions, shape (sample, target, direction).
    untouched
        Number of input directions orthogonal to all these.
    null
        Number of target directions that change nothing.
    """

    shared: Tensor
    own: Tensor | None
    target: Tensor
    untouched: int
    null: int

    @property
    def inputs(self) -> int:
        """Number of input directions."""
        return self.shared.shape[1] + (self.own is not None)

    @property
    def directions(self) -> int:
        """Number of input and target directions together."""
        return self.inputs + self.target.shape[2]

    def coordinates(self, x: Tensor) -> Tensor:
        """Coordinates of inputs (sample, input) in the input directions, shape (sample, direction)."""
        found = x @ self.shared
        if self.own is None:
            return found
        return torch.cat([found, (x * self.own).sum(dim=1, keepdim=True)], dim=1)

    def mapped(self, weight: Tensor) -> Tensor:
        """Changes of the first layer's pre-activations along the directions, shape (sample, unit, direction)."""
        count = len(self.target)
        along = weight @ self.shared
        rest = weight.new_zeros(count, len(weight), self.directions - along.shape[1])
        return torch.cat([along.expand(count, *along.shape), rest], dim=2)

    def of_sample(self, sample: int) -> Tensor:
        """The directions of one sample as columns, shape (boundary, direction)."""
        inputs = self.shared if self.own is None else torch.cat([self.shared, self.own[sample][:, None]], dim=1)
        return torch.block_diag(inputs, self.target[sample])


def tangent_basis(weight: Tensor, x: Tensor, target_map: Tensor) -> TangentBasis:
    """Make the basis for a first layer with these weights (unit, input).

    Parameters
    ----------
    weight, x
        Weights of the first layer and inputs (sample, input).
    target_map
        Derivative of the output errors by the targets, shape (sample, output, target).
    """
    units, inputs = weight.shape
    samples, _, targets = target_map.shape
    every_target = torch.eye(targets, dtype=x.dtype, device=x.device).expand(samples, targets, targets)
    if units + 1 >= inputs:
        whole = torch.eye(inputs, dtype=x.dtype, device=x.device)
        return TangentBasis(whole, None, every_target, 0, 0)
    shared = torch.linalg.qr(weight.T).Q
    own = _outside(x, shared)
    # An input inside the span has no component outside, and any direction outside serves: all are equivalent.
    lengths, sizes = own.norm(dim=1), x.norm(dim=1)
    inside = lengths <= 1e-10 * sizes
    if bool(inside.any()):
        other = _outside(torch.eye(inputs, dtype=x.dtype, device=x.device), shared)
        own = torch.where(inside[:, None], other[other.norm(dim=1).argmax()], own)
    own = _outside(own / own.norm(dim=1, keepdim=True), shared)
    own = own / own.norm(dim=1, keepdim=True)
    return TangentBasis(shared, own, every_target, inputs - units - 1, 0)


def without_null(basis: TangentBasis, null: Tensor) -> TangentBasis:
    """Remove one target direction (sample, target) of each sample that is known to change nothing."""
    samples, targets = null.shape
    # The first column of each orthogonal matrix is the null direction, up to its sign.
    every = torch.eye(targets, dtype=null.dtype, device=null.device).expand(samples, -1, -1)
    first = torch.cat([null[:, :, None], every], dim=2)
    rotation = torch.linalg.qr(first).Q
    return TangentBasis(basis.shared, basis.own, rotation[:, :, 1:targets], basis.untouched, 1)


def _outside(vectors: Tensor, shared: Tensor) -> Tensor:
    """Components orthogonal to a basis; projected twice, as rounding leaves a part after the first time."""
    for _ in range(2):
        vectors = vectors - (vectors @ shared) @ shared.T
    return vectors

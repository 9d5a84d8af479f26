"""Leading singular values of a Jacobian and their directions in the boundary space, without writing the matrix out."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse.linalg
import torch
from torch import Tensor

from critlearn.duality.jacobian.dense_stack import DenseStack, stacked
from critlearn.duality.jacobian.layer_products import LayerProducts, layer_products
from critlearn.duality.jacobian.operator import JacobianOperator

_CONVERGED: Final = 1e-8
"""Largest residual of an eigenvector, relative to its eigenvalue.

The error of the eigenvalue is of the order of the square of the residual, 1e-16.
"""


@dataclass(frozen=True, eq=False)
class Directions:
    """Leading directions of the boundary space: those that move the trainable variables most.

    Parameters
    ----------
    values
        Singular values, descending, shape (direction,).
    x
        Their parts in the input, shape (direction, *shape of the input): pictures, if the input is one.
    t
        Their parts in the target, shape (direction, target); no columns where targets are classes.
    """

    values: Tensor
    x: Tensor
    t: Tensor


def directions_of(values: Tensor, vectors: Tensor, shape: torch.Size) -> Directions:
    """Split columns (boundary, direction) into directions of inputs, of this shape, and of targets."""
    # A direction has no sign of its own: the largest entry is made positive.
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    rows = (vectors * torch.where(largest < 0, -1.0, 1.0)).T
    size = shape.numel()
    return Directions(values, rows[:, :size].reshape(-1, *shape), rows[:, size:])


def leading_of_stack(stack: DenseStack, count: int, inputs: int) -> tuple[Tensor, Tensor]:
    """Logarithms of the largest singular values of a dense network's Jacobian, and their directions as columns.

    Parameters
    ----------
    stack
        Rows isometric to the Jacobian of one sample, at unit learning rate.
    count
        Number of directions.
    inputs
        Number of inputs, which stand before the targets.
    """
    rows, unit = stacked(stack.blocks)
    triangle = torch.linalg.qr(rows[0], mode="r").R
    _, values, right = torch.linalg.svd(triangle, full_matrices=True)
    logs = torch.cat([values.log(), values.new_full((len(right) - len(values),), -math.inf)]) + float(unit[0])
    vectors = stack.basis.of_sample(0) @ right.T
    untouched = min(count, stack.basis.untouched)
    if untouched:
        # All directions outside the basis have the same singular value, so any orthonormal set of them serves.
        basis = stack.basis.of_sample(0)[:inputs, : stack.basis.inputs]
        outside = _orthogonal_to(basis, untouched)
        padded = torch.cat([outside, outside.new_zeros(len(vectors) - len(outside), untouched)])
        logs = torch.cat([logs, stack.log_untouched.expand(untouched)])
        vectors = torch.cat([vectors, padded], dim=1)
    lost = count - vectors.shape[1]
    if lost > 0:
        # All remaining directions change nothing.
        logs = torch.cat([logs, logs.new_full((lost,), -math.inf)])
        vectors = torch.cat([vectors, _orthogonal_to(vectors, lost)], dim=1)
    order = logs.argsort(descending=True, stable=True)[:count]
    return logs[order], vectors[:, order]


def leading_by_iteration(operator: JacobianOperator, count: int) -> tuple[Tensor, Tensor]:
    """Largest singular values in the units of the operator, and their directions as columns, by Lanczos iterations."""
    products = layer_products(operator)
    if products is not None and operator.shape[1] <= operator.shape[0]:
        return _leading_of_products(products, operator, count)
    smaller = min(operator.shape)
    start, kept = np.random.default_rng(0).normal(size=smaller), min(smaller - 1, max(5 * count, 30))
    # The iteration is for eigenvalues of the square, so that a residual has the meaning that it has below.
    _, values, right = scipy.sparse.linalg.svds(
        scipy_operator(operator, 1.0), k=count, v0=start, ncv=kept, tol=_CONVERGED
    )
    order = np.argsort(values)[::-1].copy()
    return torch.from_numpy(values[order]), torch.from_numpy(right[order].T.copy())


def leading_of_matrix(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Largest singular values of a matrix that is written out, and their directions as columns."""
    # The triangle has the same singular values, and is square.
    triangle = torch.linalg.qr(matrix, mode="r").R if matrix.shape[0] > matrix.shape[1] else matrix
    _, values, right = torch.linalg.svd(triangle, full_matrices=False)
    return values[:count], right[:count].T


def _leading_of_products(products: LayerProducts, operator: JacobianOperator, count: int) -> tuple[Tensor, Tensor]:
    """Leading eigenvectors of ``J^T J``; squaring loses digits of the small singular values only."""
    columns = operator.shape[1]
    square = scipy.sparse.linalg.LinearOperator(
        (columns, columns), matvec=_of_numpy(products, operator.x), dtype=np.float64
    )
    start = np.random.default_rng(0).normal(size=columns)
    kept = min(columns, max(5 * count, 30))
    squares, vectors = scipy.sparse.linalg.eigsh(square, k=count, ncv=kept, v0=start, tol=_CONVERGED)
    order = np.argsort(squares)[::-1].copy()
    values = torch.from_numpy(squares[order]).clamp(min=0.0).sqrt()
    return values, torch.from_numpy(vectors[:, order].copy())


def scipy_operator(operator: JacobianOperator, factor: float) -> scipy.sparse.linalg.LinearOperator:
    """A multiple of the Jacobian for SciPy's iterative methods."""
    forward, back = _of_numpy(operator.jvp, operator.x), _of_numpy(operator.vjp, operator.x)
    return scipy.sparse.linalg.LinearOperator(
        operator.shape,
        matvec=lambda vector: factor * forward(vector),
        rmatvec=lambda vector: factor * back(vector),
        dtype=np.float64,
    )


def _of_numpy(product: Callable[[Tensor], Tensor], like: Tensor) -> Callable[[np.ndarray], np.ndarray]:
    """Wrap a product with torch vectors as a product with NumPy vectors."""
    return lambda vector: product(torch.from_numpy(vector.reshape(-1)).to(like)).cpu().numpy()


def _orthogonal_to(vectors: Tensor, count: int) -> Tensor:
    """Orthonormal columns (boundary, count) that are orthogonal to orthonormal ones."""
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(len(vectors), count, generator=generator, dtype=vectors.dtype).to(vectors)
    # Twice: after one projection rounding leaves components along the vectors.
    for _ in range(2):
        found = torch.linalg.qr(found - vectors @ (vectors.T @ found)).Q
    return found

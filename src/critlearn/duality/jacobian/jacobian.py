"""The Jacobian of the duality map at one boundary state, as an object to study."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import scipy.sparse.linalg
import torch
from torch import Tensor

from critlearn.duality.jacobian.dense_stack import DenseStack, stacked
from critlearn.duality.jacobian.layer_products import LayerProducts, layer_products
from critlearn.duality.jacobian.operator import JacobianOperator
from critlearn.duality.jacobian.spectra import from_logs, layer_spectra, log_singular_values, one_thread, stack_spectra
from critlearn.duality.jacobian.spectrum import Spectrum
from critlearn.errors import InvalidInputError
from critlearn.results import Result, plain

_LARGEST: Final = 4 << 30
"""Bytes of a Jacobian that is written out."""

_QUICK: Final = 10**6
"""Entries of a Jacobian whose spectrum is computed to show it."""

_CONVERGED: Final = 1e-8
"""Part of an eigenvalue that its residual may have: the error of the value is of the order of its square."""


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


class Jacobian(Result):
    """``J = dPhi/d(x, t)`` at one boundary state: rows in the order of ``named_parameters``, columns x, then t.

    Targets are coordinates where the loss takes a continuum of them. Made by `DualityMap.jacobian`.
    """

    def __init__(self, operator: JacobianOperator, make_stack: Callable[[], DenseStack] | None, lr: float) -> None:
        self._operator, self._make_stack, self._lr = operator, make_stack, lr
        self.shape: tuple[int, int] = operator.shape

    def to_dict(self) -> dict[str, Any]:
        """Shape, and what the spectrum tells; None for what is infinite, and where it would take long."""
        quick = self._stack is not None or self.shape[0] * self.shape[1] <= _QUICK
        spectrum = self.spectrum if quick else None
        return plain(
            {
                "variables": self.shape[0],
                "boundary": self.shape[1],
                "learning_rate": self._lr,
                "rank": None if spectrum is None else spectrum.rank(),
                "log_volume": None if spectrum is None else spectrum.log_volume(),
                "condition": None if spectrum is None else spectrum.condition(),
                "participation_ratio": None if spectrum is None else spectrum.participation_ratio(),
                "singular_values": None if spectrum is None else spectrum.values().tolist(),
            }
        )

    def summary(self) -> str:
        """One line, without computing anything, e.g. ``1,185 x 31 (variables x coordinates of the boundary)``."""
        return f"{self.shape[0]:,} x {self.shape[1]:,} (variables x coordinates of the boundary)"

    @cached_property
    def _stack(self) -> DenseStack | None:
        """Short stack of a dense network; None for others."""
        if self._make_stack is None:
            return None
        with one_thread():
            return self._make_stack()

    @property
    def _factor(self) -> float:
        return self._lr * math.exp(self._operator.log_unit)

    def dense(self) -> Tensor:
        """The matrix itself, shape (|q|, K), double precision.

        Raises
        ------
        InvalidInputError
            If it takes more than 4 GiB.
        """
        return self._factor * self._written_out()

    def _written_out(self) -> Tensor:
        if 8 * self.shape[0] * self.shape[1] > _LARGEST:
            raise InvalidInputError(
                f"a Jacobian of {self.shape[0]:,} x {self.shape[1]:,} does not fit into memory: use jvp, vjp or "
                "top_singular_values"
            )
        return self._operator.columns(torch.eye(self.shape[1], dtype=torch.float64, device=self._operator.x.device))

    def jvp(self, direction: Tensor) -> Tensor:
        """``J v`` for a direction of the boundary space, shape (K,) -> (|q|,)."""
        return self._factor * self._operator.jvp(self._fitting(direction, self.shape[1], "direction"))

    def vjp(self, weights: Tensor) -> Tensor:
        """``J^T w`` for weights of the trainable variables, shape (|q|,) -> (K,)."""
        return self._factor * self._operator.vjp(self._fitting(weights, self.shape[0], "weights"))

    def unit_columns(self, directions: Tensor) -> Tensor:
        """``J V`` up to a common factor, shape (K, n) -> (|q|, n): directions of tangents, however short these are."""
        return self._operator.columns(directions.to(self._operator.x))

    def _fitting(self, vector: Tensor, size: int, name: str) -> Tensor:
        if not isinstance(vector, Tensor):
            raise InvalidInputError(f"the {name} must be a tensor; got {type(vector).__name__}")
        if vector.numel() != size:
            raise InvalidInputError(f"the {name} must have {size} entries; got shape {tuple(vector.shape)}")
        return vector.reshape(-1).to(self._operator.x)

    def linear_operator(self) -> scipy.sparse.linalg.LinearOperator:
        """The Jacobian for SciPy's iterative methods."""
        return self._scipy(self._factor)

    def _scipy(self, factor: float) -> scipy.sparse.linalg.LinearOperator:
        def forward(vector: np.ndarray) -> np.ndarray:
            return factor * self._operator.jvp(torch.from_numpy(vector.reshape(-1)).to(self._operator.x)).cpu().numpy()

        def back(vector: np.ndarray) -> np.ndarray:
            return factor * self._operator.vjp(torch.from_numpy(vector.reshape(-1)).to(self._operator.x)).cpu().numpy()

        return scipy.sparse.linalg.LinearOperator(self.shape, matvec=forward, rmatvec=back, dtype=np.float64)

    @cached_property
    def spectrum(self) -> Spectrum:
        """All singular values: of the short stack for dense networks, of the matrix for others.

        Raises
        ------
        InvalidInputError
            If the matrix is needed and takes more than 4 GiB.
        """
        log_rate = math.log(self._lr)
        if self._stack is not None:
            with one_thread():
                return stack_spectra(self._stack, *self.shape, log_rate)[0]
        return self._of_rows(self._written_out(), self.shape[0])

    def _of_rows(self, rows: Tensor, variables: int) -> Spectrum:
        logs = log_singular_values(rows[None])
        # What rounding of the matrix leaves of a lost direction is none.
        rounding = max(rows.shape) * torch.finfo(torch.float64).eps
        logs = torch.where(logs <= logs.amax() + math.log(rounding), -math.inf, logs)
        return from_logs(logs + self._operator.log_unit + math.log(self._lr), variables, self.shape[1])[0]

    def singular_values(self) -> Tensor:
        """Singular values, descending, ``min(|q|, K)`` of them."""
        return self.spectrum.values()

    def rank(self, tolerance: float | None = None) -> int:
        """Number of singular values above ``tolerance`` times the largest; by default that of `numpy.linalg`."""
        return self.spectrum.rank(tolerance)

    def log_volume(self) -> float:
        """``0.5 ln det J^T J``; ``-inf`` where a direction is lost.

        Of a dense network to any smallness; of others a direction is lost where its singular value is below
        ``max(|q|, K)`` times the spacing of double precision, of the largest.
        """
        return self.spectrum.log_volume()

    def condition(self) -> float:
        """Largest over smallest singular value."""
        return self.spectrum.condition()

    def by_layer(self) -> dict[str, Spectrum]:
        """Spectrum of each layer's rows, by name of the layer."""
        sizes: dict[str, int] = {}
        for name, value in self._operator.values.items():
            layer = name.rpartition(".")[0]
            sizes[layer] = sizes.get(layer, 0) + value.numel()
        if self._stack is not None:
            found = layer_spectra(self._stack, sizes, self.shape[1], math.log(self._lr))[0]
            return {layer: found[layer] for layer in sizes}
        matrix, spectra = self._written_out(), {}
        places = _rows_of(self._operator.values)
        for layer, size in sizes.items():
            rows = torch.cat([matrix[place] for name, place in places.items() if name.rpartition(".")[0] == layer])
            spectra[layer] = self._of_rows(rows, size)
        return spectra

    def top_singular_values(self, count: int = 10) -> Tensor:
        """Largest singular values, descending, without the matrix: `scipy.sparse.linalg.svds` on the operator.

        Raises
        ------
        InvalidInputError
            If there are not so many.
        """
        return self.leading_directions(count).values

    def leading_directions(self, count: int = 10) -> Directions:
        """Directions of the boundary space with the largest singular values: which inputs move the weights.

        Raises
        ------
        InvalidInputError
            If there are not so many.
        """
        if not 1 <= count <= min(self.shape):
            raise InvalidInputError(f"a Jacobian of shape {self.shape} has no {count} singular values")
        leading = self._leading_by_iteration if self._stack is None else self._leading_of_stack
        values, vectors = leading(count)
        # Directions have no sign of their own: the largest entry is made positive.
        largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
        rows = (vectors * torch.where(largest < 0, -1.0, 1.0)).T
        size = self._operator.x.numel()
        return Directions(values, rows[:, :size].reshape(-1, *self._operator.x.shape), rows[:, size:])

    def _leading_of_stack(self, count: int) -> tuple[Tensor, Tensor]:
        assert self._stack is not None
        stack = self._stack
        rows, unit = stacked(stack.blocks)
        triangle = torch.linalg.qr(rows[0], mode="r").R
        _, values, right = torch.linalg.svd(triangle, full_matrices=True)
        logs = torch.cat([values.log(), values.new_full((len(right) - len(values),), -math.inf)]) + float(unit[0])
        vectors = stack.basis.of_sample(0) @ right.T
        untouched = min(count, stack.basis.untouched)
        if untouched:
            # All directions outside are alike: any orthonormal ones of them will do.
            inputs = stack.basis.of_sample(0)[: self._operator.x.numel(), : stack.basis.inputs]
            outside = _orthogonal_to(inputs, untouched)
            padded = torch.cat([outside, outside.new_zeros(len(vectors) - len(outside), untouched)])
            logs = torch.cat([logs, stack.log_untouched.expand(untouched)])
            vectors = torch.cat([vectors, padded], dim=1)
        lost = count - vectors.shape[1]
        if lost > 0:
            # What is left changes nothing.
            logs = torch.cat([logs, logs.new_full((lost,), -math.inf)])
            vectors = torch.cat([vectors, _orthogonal_to(vectors, lost)], dim=1)
        order = logs.argsort(descending=True, stable=True)[:count]
        return (logs[order] + math.log(self._lr)).exp(), vectors[:, order]

    def _leading_of_products(self, products: LayerProducts, count: int) -> tuple[Tensor, Tensor]:
        """Leading eigenvectors of ``J^T J``: its largest values lose nothing by the square."""
        columns = self.shape[1]
        operator = scipy.sparse.linalg.LinearOperator(
            (columns, columns), matvec=_of_torch(products, self._operator.x), dtype=np.float64
        )
        start = np.random.default_rng(0).normal(size=columns)
        kept = min(columns, max(5 * count, 30))
        squares, vectors = scipy.sparse.linalg.eigsh(operator, k=count, ncv=kept, v0=start, tol=_CONVERGED)
        order = np.argsort(squares)[::-1].copy()
        values = torch.from_numpy(squares[order]).clamp(min=0.0).sqrt()
        return self._factor * values, torch.from_numpy(vectors[:, order].copy())

    def _leading_by_iteration(self, count: int) -> tuple[Tensor, Tensor]:
        if count >= min(self.shape) - 1 or max(self.shape) <= 500:
            _, values, right = torch.linalg.svd(self._written_out(), full_matrices=False)
            return self._factor * values[:count], right[:count].T
        products = layer_products(self._operator)
        if products is not None and self.shape[1] <= self.shape[0]:
            return self._leading_of_products(products, count)
        start = np.random.default_rng(0).normal(size=min(self.shape))
        _, values, right = scipy.sparse.linalg.svds(self._scipy(1.0), k=count, v0=start)
        order = np.argsort(values)[::-1].copy()
        return self._factor * torch.from_numpy(values[order]), torch.from_numpy(right[order].T.copy())


def _of_torch(products: LayerProducts, like: Tensor) -> Callable[[np.ndarray], np.ndarray]:
    """Products for SciPy."""
    return lambda vector: products(torch.from_numpy(vector.reshape(-1)).to(like)).cpu().numpy()


def _orthogonal_to(vectors: Tensor, count: int) -> Tensor:
    """Orthonormal columns (boundary, count) that are orthogonal to orthonormal ones."""
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(len(vectors), count, generator=generator, dtype=vectors.dtype).to(vectors)
    for _ in range(2):
        found = torch.linalg.qr(found - vectors @ (vectors.T @ found)).Q
    return found


def _rows_of(values: dict[str, Tensor]) -> dict[str, slice]:
    """Rows of each variable."""
    places, start = {}, 0
    for name, value in values.items():
        places[name] = slice(start, start + value.numel())
        start += value.numel()
    return places

"""Jacobian of the duality map at one boundary state: products, spectrum, leading directions."""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

import scipy.sparse.linalg
import torch
from torch import Tensor

from critlearn.duality.jacobian.dense_stack import DenseStack
from critlearn.duality.jacobian.layer_products import by_layers
from critlearn.duality.jacobian.leading_directions import (
    Directions,
    directions_of,
    leading_by_iteration,
    leading_of_matrix,
    leading_of_stack,
    scipy_operator,
)
from critlearn.duality.jacobian.operator import JacobianOperator
from critlearn.duality.jacobian.spectra import from_logs, layer_spectra, log_singular_values, one_thread, stack_spectra
from critlearn.duality.jacobian.spectrum import Spectrum
from critlearn.errors import InvalidInputError
from critlearn.results import Result, plain

_LARGEST: Final = 4 << 30
"""Largest size in bytes of a Jacobian that is written out."""

_QUICK: Final = 10**6
"""Largest number of entries for which the spectrum is computed only to print the Jacobian."""

_SMALL: Final = 500
"""Number of rows and columns up to which all singular values are as fast as a few of them by iteration."""

_COLUMNS: Final = 2000
"""Number of columns up to which all of them are faster than an iteration without products by layers."""

_WRITTEN: Final = 1 << 30
"""Largest size in bytes of a matrix that is written out for this."""


class Jacobian(Result):
    """Jacobian ``J = dPhi/d(x, t)`` at one boundary state: rows as in ``named_parameters``, columns x, then t.

    Targets are coordinates if the loss takes a continuum of them. Made by `DualityMap.jacobian`.
    """

    def __init__(self, operator: JacobianOperator, make_stack: Callable[[], DenseStack] | None, lr: float) -> None:
        self._operator, self._make_stack, self._lr = operator, make_stack, lr
        self.shape: tuple[int, int] = operator.shape

    def to_dict(self) -> dict[str, Any]:
        """Shape and spectrum; None for what is infinite, and for the spectrum where it would take long."""
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
        """``J V`` up to a common factor, shape (K, n) -> (|q|, n): directions of tangents, even if they underflow."""
        return self._operator.columns(directions.to(self._operator.x))

    def along(self, directions: Tensor) -> Spectrum:
        """Spectrum of the Jacobian on the span of orthonormal directions of the boundary space, shape (K, n).

        Raises
        ------
        InvalidInputError
            If they do not have as many entries as the boundary has coordinates.
        """
        if directions.dim() != 2 or directions.shape[0] != self.shape[1]:
            raise InvalidInputError(
                f"directions have the shape ({self.shape[1]}, number), each a column; got {tuple(directions.shape)}"
            )
        if directions.shape[1] == 0:
            return Spectrum(directions.new_zeros(0), self.shape[0], 0)
        return self._of_rows(self.unit_columns(directions), self.shape[0])

    def _fitting(self, vector: Tensor, size: int, name: str) -> Tensor:
        if not isinstance(vector, Tensor):
            raise InvalidInputError(f"the {name} must be a tensor; got {type(vector).__name__}")
        if vector.numel() != size:
            raise InvalidInputError(f"the {name} must have {size} entries; got shape {tuple(vector.shape)}")
        return vector.reshape(-1).to(self._operator.x)

    def linear_operator(self) -> scipy.sparse.linalg.LinearOperator:
        """The Jacobian for SciPy's iterative methods."""
        return scipy_operator(self._operator, self._factor)

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
        # A singular value of the size of rounding of the matrix is that of a lost direction: exactly zero.
        rounding = max(rows.shape) * torch.finfo(torch.float64).eps
        logs = torch.where(logs <= logs.amax() + math.log(rounding), -math.inf, logs)
        return from_logs(logs + self._operator.log_unit + math.log(self._lr), variables, rows.shape[1])[0]

    def singular_values(self) -> Tensor:
        """Singular values, descending, ``min(|q|, K)`` of them."""
        return self.spectrum.values()

    def rank(self, tolerance: float | None = None) -> int:
        """Number of singular values above ``tolerance`` times the largest; by default that of `numpy.linalg`."""
        return self.spectrum.rank(tolerance)

    def log_volume(self) -> float:
        """``0.5 ln det J^T J``; ``-inf`` if a direction is lost.

        For dense networks every nonzero singular value counts, however small. For others a direction is lost if its
        singular value is below ``max(|q|, K)`` times the spacing of double precision, in units of the largest.
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
        if self._stack is not None:
            log_values, vectors = leading_of_stack(self._stack, count, self._operator.x.numel())
            return directions_of((log_values + math.log(self._lr)).exp(), vectors, self._operator.x.shape)
        # SciPy's Lanczos iteration cannot give all singular values. It takes hundreds of products one after the other,
        # which only products by layers make faster than all columns side by side.
        few = self.shape[1] <= _COLUMNS and 8 * self.shape[0] * self.shape[1] <= _WRITTEN
        if count >= min(self.shape) - 1 or max(self.shape) <= _SMALL or (few and not by_layers(self._operator)):
            values, vectors = leading_of_matrix(self._written_out(), count)
        else:
            values, vectors = leading_by_iteration(self._operator, count)
        return directions_of(self._factor * values, vectors, self._operator.x.shape)


def _rows_of(values: dict[str, Tensor]) -> dict[str, slice]:
    """Slice of rows of each variable."""
    places, start = {}, 0
    for name, value in values.items():
        places[name] = slice(start, start + value.numel())
        start += value.numel()
    return places

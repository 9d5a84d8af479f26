"""Spectrum of a Jacobian: logarithms of its singular values, rank, volume, condition and effective dimension."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from critlearn.numerics.window import exp_or_infinity


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Singular values of the duality map's Jacobian at one boundary state.

    Parameters
    ----------
    log_values
        Their logarithms in descending order, ``min(variables, boundary)`` of them; ``-inf`` for an exact zero.
    variables, boundary
        Shape (|q|, K) of the Jacobian.
    """

    log_values: Tensor
    variables: int
    boundary: int

    def values(self) -> Tensor:
        """Singular values, descending; those below the smallest number of double precision read as zero."""
        return self.log_values.exp()

    def rank(self, tolerance: float | None = None) -> int:
        """Number of singular values above ``tolerance`` times the largest.

        Parameters
        ----------
        tolerance
            By default ``max(|q|, K)`` times the spacing of double precision, as in `numpy.linalg.matrix_rank`.
        """
        if len(self.log_values) == 0 or torch.isneginf(self.log_values[0]):
            return 0
        if tolerance is None:
            tolerance = max(self.variables, self.boundary) * torch.finfo(torch.float64).eps
        threshold = float(self.log_values[0]) + (math.log(tolerance) if tolerance > 0 else -math.inf)
        return int((self.log_values > threshold).sum())

    def log_volume(self) -> float:
        """``0.5 ln det J^T J``, the sum of the logarithms; ``-inf`` if a direction is lost, or K exceeds |q|."""
        if self.boundary > self.variables:
            return -math.inf
        return float(self.log_values.sum())

    def log_pseudo_volume(self) -> float:
        """Sum of the logarithms of the singular values that the rank counts."""
        return float(self.log_values[: self.rank()].sum())

    def condition(self) -> float:
        """Largest over smallest singular value; infinite where the smallest is zero."""
        if len(self.log_values) == 0 or torch.isneginf(self.log_values[-1]):
            return math.inf
        return exp_or_infinity(float(self.log_values[0] - self.log_values[-1]))

    def participation_ratio(self) -> float:
        """Effective dimension ``(sum s^2)^2 / sum s^4``: 1 if one direction dominates, K if all are alike."""
        if self.rank(0.0) == 0:
            return 0.0
        squares = (2 * (self.log_values - self.log_values[0])).exp()
        return float(squares.sum() ** 2 / (squares**2).sum())

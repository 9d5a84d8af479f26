"""Shares of the modes in the variance, and the participation ratio, with their sampling errors."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from critlearn.comparison.learning_modes.directions import LeadingDirections
from critlearn.comparison.learning_modes.jackknife import Estimate, Groups, jackknifed
from critlearn.comparison.learning_modes.sample_sizes import SampleSizes


@dataclass(frozen=True, eq=False)
class Variances:
    """Variances of the changes of half A along its modes, and in all directions.

    Errors are those of fixed directions, along which a variance changes as that of the moving ones does, to first order
    in what is left out.

    Parameters
    ----------
    leading
        Sums of squares along each mode.
    squares
        Contributions of the samples to them.
    sizes
        Contributions of the samples to the sum of squares in all directions.
    fourth_powers
        Sum of the squares of the sums of squares in all directions.
    group
        Group of each sample.
    """

    leading: Float64[np.ndarray, " mode"]
    squares: Float64[np.ndarray, "sample mode"]
    sizes: Float64[np.ndarray, " sample"]
    fourth_powers: float
    group: Groups

    @classmethod
    def of(cls, found: LeadingDirections, made: SampleSizes, group: Groups) -> "Variances":
        """Variances of the samples from which the directions were made."""
        along = made.sign * np.exp(made.log_change - found.log_unit)
        squares = (along - along.mean(axis=0)) ** 2
        leading, sizes = found.singular_values.cpu().numpy() ** 2, found.sizes.cpu().numpy()
        return cls(leading, squares, sizes, found.fourth_powers, group)

    def share(self, mode: int) -> Estimate:
        """Share of a mode in the variance."""
        squares, sizes = self.squares[:, mode], self.sizes
        error = jackknifed(lambda used: float(squares[used].sum() / sizes[used].sum()), self.group).error
        return Estimate(float(self.leading[mode] / sizes.sum()), error)

    def participation_ratio(self) -> Estimate:
        """Effective number of modes."""
        value = float(self.sizes.sum() ** 2 / self.fourth_powers)
        return Estimate(value, jackknifed(self._ratio_of, self.group).error)

    def _ratio_of(self, used: Bool[np.ndarray, " sample"]) -> float:
        """Participation ratio of some samples; the spectrum beyond the leading modes is taken to keep its shape."""
        total, leading = self.sizes[used].sum(), self.squares[used].sum(axis=0)
        rest = max(0.0, self.fourth_powers - float((self.leading**2).sum()))
        all_of_rest = self.sizes.sum() - self.leading.sum()
        scale = (total - leading.sum()) / all_of_rest if all_of_rest > 0 else 0.0
        return float(total**2 / ((leading**2).sum() + rest * scale**2))

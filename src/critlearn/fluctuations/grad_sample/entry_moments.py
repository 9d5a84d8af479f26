"""Mean and spread over samples of each entry of a variable, in units in which squares do not underflow."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class EntryMoments:
    """Moments of each entry over some samples.

    Parameters
    ----------
    mean, squares
        Mean, and sum of squared deviations from it, in units of ``peak`` and its square.
    size
        Mean of the absolute values, in units of ``peak``.
    peak
        Bound of the entry's size: squares of entries far smaller than others would underflow in a common unit.
    movers
        Number of samples for which an entry is not zero.
    samples
        Number of samples.
    """

    mean: Float64[Tensor, " variable"]
    squares: Float64[Tensor, " variable"]
    size: Float64[Tensor, " variable"]
    peak: Float64[Tensor, " variable"]
    movers: Float64[Tensor, " variable"]
    samples: int

    @classmethod
    def of(cls, values: Float[Tensor, "sample variable"], weight: Float64[Tensor, " sample"]) -> "EntryMoments":
        """Moments of ``weight * values``; deviations are formed before they are squared, so that nothing cancels."""
        weighted = values.double() * weight[:, None]
        peak = weighted.abs().amax(dim=0)
        weighted = weighted / one_for_zero(peak)
        variance, mean = torch.var_mean(weighted, dim=0, correction=0)
        movers = (values != 0).sum(dim=0).double()
        return cls(mean, variance * len(values), weighted.abs().mean(dim=0), peak, movers, len(values))

    def merged(self, other: "EntryMoments", *, shrunk: float = 1.0) -> "EntryMoments":
        """Moments of the samples of both, as Chan, Golub and LeVeque (1983) merge means and sums of squares.

        ``shrunk`` is the unit of these moments in units of the other's.
        """
        before = self.peak * shrunk
        peak = torch.maximum(before, other.peak)
        mine, theirs = before / one_for_zero(peak), other.peak / one_for_zero(peak)
        total = self.samples + other.samples
        mean = mine * self.mean
        difference = theirs * other.mean - mean
        squares = mine**2 * self.squares + theirs**2 * other.squares
        squares = squares + difference**2 * (self.samples * other.samples / total)
        mean = mean + difference * (other.samples / total)
        size = mine * self.size * (self.samples / total) + theirs * other.size * (other.samples / total)
        return EntryMoments(mean, squares, size, peak, self.movers + other.movers, total)


def one_for_zero(peak: Tensor) -> Tensor:
    """Units to divide by: entries that are always zero have none of their own."""
    return torch.where(peak > 0, peak, 1.0)

"""Mean and spread over samples of each entry of a variable, in units in which squares do not underflow."""

from dataclasses import dataclass, replace

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
        sizes = weighted.abs()
        peak = sizes.amax(dim=0)
        unit = one_for_zero(peak)
        variance, mean = torch.var_mean(weighted.div_(unit), dim=0, correction=0)
        movers = (values != 0).sum(dim=0).double()
        return cls(mean, variance * len(values), sizes.div_(unit).mean(dim=0), peak, movers, len(values))

    def merged(self, other: "EntryMoments", *, shrunk: float = 1.0) -> "EntryMoments":
        """Moments of the samples of both, as Chan, Golub and LeVeque (1983) merge means and sums of squares.

        ``shrunk`` is the unit of these moments in units of the other's.
        """
        total = self.samples + other.samples
        mine, theirs = (
            (self, other) if shrunk == 1 and torch.equal(self.peak, other.peak) else self._in_one_unit(other, shrunk)
        )
        # As few operations as possible: each takes as long as a product of matrices of a few hundred samples.
        difference = theirs.mean - mine.mean
        squares = mine.squares + theirs.squares
        squares.addcmul_(difference, difference, value=self.samples * other.samples / total)
        mean = torch.add(mine.mean, difference, alpha=other.samples / total)
        size = torch.lerp(mine.size, theirs.size, other.samples / total)
        return EntryMoments(mean, squares, size, mine.peak, self.movers + other.movers, total)

    def _in_one_unit(self, other: "EntryMoments", shrunk: float) -> tuple["EntryMoments", "EntryMoments"]:
        """Moments of both in units of the larger peaks."""
        before = self.peak * shrunk
        peak = torch.maximum(before, other.peak)
        found = []
        for part, own in ((self, before), (other, other.peak)):
            factor = own / one_for_zero(peak)
            found.append(
                replace(
                    part, mean=factor * part.mean, squares=factor**2 * part.squares, size=factor * part.size, peak=peak
                )
            )
        return found[0], found[1]


def one_for_zero(peak: Tensor) -> Tensor:
    """Units to divide by: entries that are always zero have none of their own."""
    return torch.where(peak > 0, peak, 1.0)

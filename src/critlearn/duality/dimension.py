"""Dimension of learning over a data set: number of directions of each sample, and overlaps between samples."""

from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import torch
from torch import Tensor

from critlearn.duality.criteria import WHOLE_SET
from critlearn.duality.data_tangents import DataTangents
from critlearn.duality.jacobian.spectrum import Spectrum
from critlearn.duality.map import DualityMap
from critlearn.duality.one_tensor import samples_of_one_tensor
from critlearn.numerics.validation import check_count
from critlearn.results import Result, plain

_TANGENTS: Final = 512 << 20
"""Bytes of tangent vectors stored for overlaps."""

_NEIGHBOURS: Final = 15
"""Nearest neighbours of a sample by default: enough for five directions at three neighbours each, and still near."""

_OVERLAPPING: Final = 16
"""Samples whose tangent spaces are compared by default: 120 pairs."""


@dataclass(frozen=True, eq=False, repr=False)
class LearningDimension(Result):
    """Spectra of a data set's samples, and overlaps of their tangent spaces.

    Parameters
    ----------
    spectra
        One for each sample.
    overlaps
        Mean squared cosine of the principal angles between the leading tangent spaces of pairs of samples, shape
        (sample, sample), for some of the samples: 1 for the same space, 0 for orthogonal ones, NaN where a sample has
        no tangent space.
    directions
        Number of leading directions in the overlaps, or as many as a sample's rank allows.
    along_data
        Spectrum at each sample of the Jacobian on the data's tangent space there, whose dimension is its ``boundary``.
    neighbourhoods
        Share of all other samples, of the same class, from which the tangent space at each sample is found.
    """

    spectra: tuple[Spectrum, ...]
    overlaps: Tensor
    directions: int
    along_data: tuple[Spectrum, ...]
    neighbourhoods: tuple[float, ...]

    def ranks(self) -> list[int]:
        """Numerical rank at each sample."""
        return [spectrum.rank() for spectrum in self.spectra]

    def rank_counts(self) -> dict[int, int]:
        """Number of samples of each rank."""
        ranks = self.ranks()
        return {rank: ranks.count(rank) for rank in sorted(set(ranks))}

    @property
    def note(self) -> str:
        """Sentence that says so where neighbourhoods are nearly the whole set; otherwise empty."""
        share = median(self.neighbourhoods)
        if share <= WHOLE_SET:
            return ""
        return f"neighbourhoods hold {share:.0%} of the data: directions along the data are those of the whole set"

    def participation_ratios(self) -> list[float]:
        """Effective dimension at each sample."""
        return [spectrum.participation_ratio() for spectrum in self.spectra]

    def mean_overlap(self) -> float | None:
        """Mean overlap over pairs of different samples that have tangent spaces; None if there is no pair."""
        different = self.overlaps[~torch.eye(len(self.overlaps), dtype=torch.bool, device=self.overlaps.device)]
        known = different[~different.isnan()]
        return float(known.mean()) if len(known) else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; None for what is infinite."""
        logs = torch.stack([spectrum.log_values for spectrum in self.spectra])
        quantiles = torch.quantile(
            logs, torch.tensor([0.05, 0.5, 0.95], dtype=logs.dtype), dim=0, interpolation="lower"
        )
        values = {
            "samples": len(self.spectra),
            "variables": self.spectra[0].variables,
            "boundary": self.spectra[0].boundary,
            "rank_counts": {str(rank): count for rank, count in self.rank_counts().items()},
            "participation_ratio": self.participation_ratios(),
            "log_volume": [spectrum.log_volume() for spectrum in self.spectra],
            "log_pseudo_volume": [spectrum.log_pseudo_volume() for spectrum in self.spectra],
            "condition": [spectrum.condition() for spectrum in self.spectra],
            "log_singular_values": dict(zip(("low", "median", "high"), quantiles.tolist(), strict=True)),
            "overlap": self.mean_overlap(),
            "overlap_directions": self.directions,
            "along_data": {
                "dimension_counts": _counts([spectrum.boundary for spectrum in self.along_data]),
                "rank_counts": _counts([spectrum.rank() for spectrum in self.along_data]),
                "participation_ratio": [spectrum.participation_ratio() for spectrum in self.along_data],
                "neighbourhood": median(self.neighbourhoods),
                "note": self.note,
            },
        }
        return dict(plain(values))

    def summary(self) -> str:
        """One line, e.g. ``256 samples: rank 31 (256), effective dimension 2.1; along the data rank 3 (256), ...``.

        It says so where neighbourhoods are nearly the whole set.
        """
        overlap = self.mean_overlap()
        shared = "" if overlap is None else f"; overlap {overlap:.2f}"
        everywhere, along = _directions(self.spectra), _directions(self.along_data)
        whole = self.note and f"; {self.note}"
        return f"{len(self.spectra)} samples: {everywhere}; along the data {along}{shared}{whole}"


def _directions(spectra: tuple[Spectrum, ...]) -> str:
    """Ranks and the median of the effective dimension, e.g. ``rank 31 (256), effective dimension 2.1``."""
    ranks = ", ".join(f"{rank} ({count})" for rank, count in _counts([one.rank() for one in spectra]).items())
    return f"rank {ranks}, effective dimension {median(one.participation_ratio() for one in spectra):.1f}"


def _counts(numbers: list[int]) -> dict[str, int]:
    """Number of samples with each number."""
    return {str(number): numbers.count(number) for number in sorted(set(numbers))}


def learning_dimension(
    phi: DualityMap,
    *,
    samples: int = 256,
    directions: int = 3,
    overlapping: int = _OVERLAPPING,
    neighbours: int = _NEIGHBOURS,
) -> LearningDimension:
    """Compute spectra at samples spread evenly over the data set, also along the data, and overlaps of some.

    The boundary space around a sample has all directions; the data have few of them. The Jacobian on the data's tangent
    space, from local principal directions, tells in how many directions neighbouring samples move the weights.

    Parameters
    ----------
    phi
        The duality map of a network at any time of its training.
    samples
        Largest number of samples.
    directions
        Leading directions of each tangent space that overlaps compare.
    overlapping
        Largest number of samples whose tangent spaces are compared.
    neighbours
        Nearest neighbours from which the data's tangent space at a sample is found.

    Raises
    ------
    InvalidInputError
        If a number is not a positive integer.
    """
    for name, value in (
        ("samples", samples),
        ("directions", directions),
        ("overlapping", overlapping),
        ("neighbours", neighbours),
    ):
        check_count(name, value)
    size = len(phi.system)
    places = torch.linspace(0, size - 1, min(samples, size)).round().long().tolist()
    x, t = samples_of_one_tensor(phi.system, places)
    spectra = tuple(phi.spectra(x, t))
    kept = min(directions, len(spectra[0].log_values))
    # As many samples as their tangent vectors, of 8 bytes a number, fit into the memory allowed; a pair at least.
    most = max(2, _TANGENTS // (8 * spectra[0].variables * kept))
    every = max(1, -(-len(x) // min(overlapping, most)))
    bases = [
        _leading_tangents(phi, one, target, min(kept, spectrum.rank()))
        for one, target, spectrum in zip(x[::every], t[::every], spectra[::every], strict=True)
    ]
    tangents = DataTangents(phi, neighbours)
    along, neighbourhoods = [], []
    for pair in zip(x, t, strict=True):
        near, share = tangents.at(*pair)
        along.append(phi.jacobian(*pair).along(near))
        neighbourhoods.append(share)
    return LearningDimension(spectra, _overlaps(bases), kept, tuple(along), tuple(neighbourhoods))


def _leading_tangents(phi: DualityMap, x: Tensor, t: Tensor, count: int) -> Tensor:
    """Orthonormal tangent vectors along the leading directions, shape (variable, direction)."""
    jacobian = phi.jacobian(x, t)
    if count == 0:
        return x.new_zeros(jacobian.shape[0], 0, dtype=torch.float64)
    leading = jacobian.leading_directions(count)
    flat = torch.cat([leading.x.reshape(count, -1), leading.t], dim=1)
    # Tangents along right singular vectors are orthogonal already; QR gives them length 1, also where they underflow.
    return torch.linalg.qr(jacobian.unit_columns(flat.T)).Q


def _overlaps(bases: list[Tensor]) -> Tensor:
    """Mean squared cosines of the principal angles between spaces: ``|U_i^T U_j|_F^2 / min(k_i, k_j)``.

    Two spaces have as many principal angles as the smaller one has directions.
    """
    # One product for all pairs, whose blocks are then summed.
    together = torch.cat(bases, dim=1)
    squares = (together.T @ together) ** 2
    sizes = [basis.shape[1] for basis in bases]
    rows = torch.stack([part.sum(dim=0) for part in squares.split(sizes)])
    sums = torch.stack([part.sum(dim=1) for part in rows.split(sizes, dim=1)], dim=1)
    counts = torch.tensor(sizes, device=sums.device)
    return sums / torch.minimum(counts[:, None], counts[None, :])

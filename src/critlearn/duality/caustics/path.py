"""Caustics on a straight path: all zeros of the Jacobian's determinant, found on pieces where it is a polynomial."""

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.polynomial import chebyshev
from scipy.optimize import brentq
from torch import Tensor

from critlearn.duality.caustics.caustic import CausticPoint, classified
from critlearn.duality.criteria import FOLLOWED, TOUCHED
from critlearn.duality.density.preimages import SquareMap
from critlearn.errors import InvalidInputError

_PIECES: Final = 16
"""Pieces that a path is cut into at first: with the nodes of each, it is looked at in 272 places at least."""

_DEGREE: Final = 16
"""Degree of the polynomial of a piece."""

_NODES: Final = -np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
"""Chebyshev's nodes on [-1, 1]."""


def caustics_on_path(square: SquareMap, start: Tensor, end: Tensor, *, resolution: float = 1e-4) -> list[CausticPoint]:
    """Find the caustics on the straight path between two boundary points: the zeros of ``det J``.

    The path is halved where the determinant is no polynomial of degree 16, so that steps follow its curvature. Its
    extrema are found too: between two of them it has one zero at most, and where it touches zero without changing sign,
    it has an extremum. Intervals on which it is zero throughout, as where a ReLU is dead, have no density and are left
    out.

    Parameters
    ----------
    square
        Map between spaces of the same dimension, such as `RestrictedMap`.
    start, end
        Points (K,).
    resolution
        Distance in units of the path's length down to which two caustics are found, also where the determinant has
        kinks; where it is smooth, they are found down to a hundredth of the default.

    Raises
    ------
    InvalidInputError
        If the points do not fit, the resolution is not between 0 and 1, or the map is not finite on the path.
    """
    if start.dim() != 1 or start.shape != end.shape:
        raise InvalidInputError(
            f"a path joins two points of shape (K,); got {tuple(start.shape)} and {tuple(end.shape)}"
        )
    if not (isinstance(resolution, int | float) and 0 < resolution < 1):
        raise InvalidInputError(f"the resolution is a share of the path, between 0 and 1; got {resolution!r}")
    path = _Path(square, start.double(), end.double())
    edges = np.linspace(0.0, 1.0, _PIECES + 1)
    pieces = _resolved(path, list(itertools.pairwise(edges.tolist())), resolution)
    return [classified(square, path.points(np.array([share]))[0]) for share in _zeros(path, pieces, resolution)]


@dataclass(frozen=True, eq=False)
class _Path:
    """Straight path through the boundary space."""

    square: SquareMap
    start: Tensor
    end: Tensor

    def points(self, shares: np.ndarray) -> Tensor:
        """Points (share, K) at shares of the path."""
        return torch.lerp(self.start, self.end, torch.from_numpy(shares).to(self.start)[:, None])

    def jacobians(self, shares: np.ndarray) -> np.ndarray:
        """Jacobians at shares of the path, shape (share, K, K)."""
        found = self.square.jacobians(self.points(shares)).cpu().numpy()
        finite = np.isfinite(found).all(axis=(1, 2))
        if not finite.all():
            share = shares[np.flatnonzero(~finite)[0]]
            raise InvalidInputError(f"the map's Jacobian is not finite at {share:.3g} of the path")
        return found


@dataclass(frozen=True, eq=False)
class _Piece:
    """Piece of a path with the polynomial of the determinant there.

    Parameters
    ----------
    lower, upper
        Ends, as shares of the path.
    rows
        Lengths of the Jacobian's rows, by which they are divided, because raw determinants could underflow.
    values
        Determinants at the nodes.
    rounding
        Rounding error of the determinant, in units of the largest of them.
    """

    lower: float
    upper: float
    rows: np.ndarray
    values: np.ndarray
    rounding: float

    @property
    def largest(self) -> float:
        """Largest absolute determinant."""
        return float(np.abs(self.values).max())

    @property
    def coefficients(self) -> np.ndarray:
        """Coefficients of Chebyshev's polynomials."""
        return chebyshev.chebfit(_NODES, self.values, _DEGREE)

    def share(self, node: np.ndarray) -> np.ndarray:
        """Shares of the path of places in [-1, 1]."""
        return self.lower + (self.upper - self.lower) * (node + 1) / 2

    def smooth(self) -> bool:
        """Whether the polynomial follows the determinant, up to rounding, of which deep networks have more."""
        sizes = np.abs(self.coefficients)
        return bool(sizes[-3:].max() <= max(FOLLOWED, 16 * self.rounding) * sizes.max())

    def breakpoints(self) -> np.ndarray:
        """Shares between which the determinant is monotonous, without the upper end."""
        extrema = chebyshev.chebroots(chebyshev.chebder(self.coefficients)) if self.largest else np.zeros(0)
        inside = extrema.real[(np.abs(extrema.imag) < 1e-3) & (np.abs(extrema.real) < 1)]
        # Without a polynomial that follows, as at a kink, the nodes themselves are looked at too.
        others = np.zeros(0) if self.smooth() else _NODES
        return self.share(np.unique(np.concatenate([[-1.0], inside, others])))

    def determinants(self, path: _Path, shares: np.ndarray) -> np.ndarray:
        """Determinants with rows in the units of this piece."""
        return np.linalg.det(path.jacobians(shares) / self.rows[:, None])


def _resolved(path: _Path, waiting: list[tuple[float, float]], resolution: float) -> list[_Piece]:
    """Pieces in order, halved until a polynomial follows the determinant or they are shorter than the resolution."""
    done: list[_Piece] = []
    while waiting:
        shares = np.array([lower + (upper - lower) * (_NODES + 1) / 2 for lower, upper in waiting])
        matrices = path.jacobians(shares.reshape(-1)).reshape(*shares.shape, *[len(path.start)] * 2)
        halves: list[tuple[float, float]] = []
        for (lower, upper), block in zip(waiting, matrices, strict=True):
            piece = _piece(lower, upper, block)
            if piece.smooth() or upper - lower <= resolution / _DEGREE:
                done.append(piece)
            else:
                middle = (lower + upper) / 2
                halves += [(lower, middle), (middle, upper)]
        waiting = halves
    return sorted(done, key=lambda piece: piece.lower)


def _piece(lower: float, upper: float, matrices: np.ndarray) -> _Piece:
    """Piece from the Jacobians at its nodes."""
    rows = np.linalg.norm(matrices, axis=2).max(axis=0)
    rows = np.where(rows == 0, 1.0, rows)
    scaled = matrices / rows[:, None]
    singular = np.linalg.svd(scaled, compute_uv=False)
    # The determinant's relative error is that of the smallest singular value; two folds leave a dip that may be no
    # larger, so that the estimate must not be generous.
    rounding = 4 * len(rows) * np.finfo(np.float64).eps * singular[:, 0].max() / max(singular[:, -1].max(), 1e-300)
    values = np.linalg.det(scaled) if rounding < 1 else np.zeros(len(matrices))
    return _Piece(lower, upper, rows, values, float(min(rounding, 1.0)))


def _zeros(path: _Path, pieces: list[_Piece], resolution: float) -> list[float]:
    """Shares of the path at which the determinant is zero, in order."""
    places: list[tuple[float, int, _Piece]] = []
    for piece in pieces:
        shares = piece.breakpoints()
        # An interval that is zero throughout is told from a single zero by both of its ends.
        if piece is pieces[-1] or not piece.largest:
            shares = np.append(shares, piece.upper)
        values = piece.determinants(path, shares)
        zero = np.abs(values) <= max(TOUCHED, piece.rounding) * piece.largest
        zero |= piece.largest == 0
        signs = np.where(zero, 0, np.sign(values)).astype(int)
        places += [(float(share), int(sign), piece) for share, sign in zip(shares, signs, strict=True)]
    found: list[float] = []
    run: list[float] = []
    for at, (share, sign, piece) in enumerate(places):
        if sign == 0:
            run.append(share)
        last = at == len(places) - 1
        if run and (sign != 0 or last):
            # A run of zeros is one caustic, unless it is a whole interval.
            if run[-1] - run[0] <= resolution:
                found.append((run[0] + run[-1]) / 2)
            run = []
        if sign and not last and places[at + 1][1] == -sign:
            found.append(_crossing(path, piece, share, places[at + 1][0]))
    return sorted(found)


def _crossing(path: _Path, piece: _Piece, lower: float, upper: float) -> float:
    """Zero between two places with determinants of opposite signs."""
    return float(brentq(lambda at: piece.determinants(path, np.array([at]))[0], lower, upper, xtol=1e-15))

"""Tables of ``ln|E(x)|`` over ``ln x``: piecewise polynomials through high-precision values, on adaptive nodes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import scipy.interpolate
from jaxtyping import Float64

from critlearn.compositions.symbolic.functions import Array
from critlearn.errors import InvalidInputError

Row: TypeAlias = tuple[float, float, float, float]
"""Value and first three derivatives with respect to ``u = ln x``."""

ACCURACY: Final = 1e-9
"""Largest error of ``ln|E|`` that closed forms and polynomials may have, relative to ``max(1, |ln|E||)``."""

_STEP: Final = 1 / 16
"""Widest distance between nodes, in ``ln x``."""

_LEAST_STEP: Final = _STEP / 1024
"""Narrowest distance between nodes; a function that needs narrower ones is not smooth and cannot be tabulated."""

_MOST_NODES: Final = 3000
"""Largest number of nodes, each an evaluation at high precision; an expression that needs more is refused."""

_LARGEST: Final = 500.0
"""``|ln|E||`` above which the table ends instead of being refined; some expressions lose their derivatives there."""

_TWICE_AS_WIDE: Final = 64.0
"""Factor by which the error over a doubled interval may exceed `ACCURACY`.

Polynomials of degree 7 have errors of eighth order, 256 times smaller on half the width; a quarter of that is used.
"""

_POWER_CURVATURE: Final = 0.05
"""Relative change of the slope in ``ln x`` below which a tail is continued as a power law."""


@dataclass(frozen=True, eq=False)
class LogTable:
    """Piecewise polynomials of degree 7 in ``u = ln x``, and a continuation beyond the last node.

    Parameters
    ----------
    nodes
        Values of ``u``, ascending.
    coefficients
        Coefficients of each polynomial in the distance from its lower node, the highest power first.
    last_u, last
        Node from which the table is continued, and value, first and second derivative with respect to ``x`` there.
    power
        Whether it is continued as a power of ``x``; otherwise by its Taylor polynomial.
    """

    nodes: Float64[np.ndarray, " node"]
    coefficients: Float64[np.ndarray, "power interval"]
    last_u: float
    last: tuple[float, float, float]
    power: bool

    @property
    def start(self) -> float:
        """Lowest node."""
        return float(self.nodes[0])

    @property
    def stop(self) -> float:
        """Highest node."""
        return float(self.nodes[-1])

    def taylor(self, order: int, u: Array, x: Array, library: Any) -> Array:
        """Value or derivative with respect to ``x``, of order 0 to 2."""
        nodes, table = self.nodes, self.coefficients
        if library is not np:
            nodes, table = (library.as_tensor(one, dtype=u.dtype, device=u.device) for one in (nodes, table))
        index = (library.searchsorted(nodes, u) - 1).clip(0, table.shape[1] - 1)
        local = u.clip(self.start, self.stop) - nodes[index]
        # Horner's scheme for the value and its first two derivatives with respect to u at once.
        derivatives = [0.0 * u, 0.0 * u, 0.0 * u]
        for power in range(table.shape[0]):
            derivatives[2] = derivatives[2] * local + 2 * derivatives[1]
            derivatives[1] = derivatives[1] * local + derivatives[0]
            derivatives[0] = derivatives[0] * local + table[power][index]
        value, first, second = derivatives
        # Chain rule from u = ln x to x.
        inside = (value, first / x, (second - first) / x**2)[order]
        return library.where((u >= self.start) & (u <= self.stop), inside, self._continued(order, u, x))

    def _continued(self, order: int, u: Array, x: Array) -> Array:
        """Continuation beyond the table: a power law as such, an exponential by its Taylor polynomial."""
        value, first, second = self.last
        at = float(np.exp(self.last_u))
        if self.power:
            slope = first * at
            return (value + slope * (u - self.last_u), slope / x, -slope / x**2)[order]
        step = x - at
        return (value + first * step + 0.5 * second * step**2, first + second * step, second + 0.0 * step)[order]


def tabulated(row_at: Callable[[float], Row | None], start: float, stop: float) -> LogTable | None:
    """Tabulate from `start`, where the closed form takes over, to `stop` or as far as there are values.

    Nodes are added until the polynomials agree with the values between them. None if no value but the first exists.

    Raises
    ------
    InvalidInputError
        If the values change too fast for a table, as those of ``erf(y^9999)``.
    """
    rows = _sampled_evenly(row_at, start, stop)
    if len(rows) < 2:
        return None
    _refine(rows, row_at)
    if len(rows) < 2:
        return None
    nodes = np.array(sorted(rows))
    table = np.array([rows[u] for u in sorted(rows)])
    edge = max(rows) if stop > start else min(rows)
    value, first_u, second_u, _ = rows[edge]
    x_edge = float(np.exp(edge))
    return LogTable(
        nodes,
        np.asarray(_polynomial(nodes, table).c),
        edge,
        (value, first_u / x_edge, (second_u - first_u) / x_edge**2),
        # A power law's slope in ln x is constant; an exponential's grows with x.
        bool(abs(second_u) < _POWER_CURVATURE * max(abs(first_u), 1e-6)),
    )


def _sampled_evenly(row_at: Callable[[float], Row | None], start: float, stop: float) -> dict[float, Row]:
    """Rows on evenly spaced nodes, the last ones in ever smaller steps where values cease to exist."""
    first = row_at(start)
    rows = {} if first is None else {start: first}
    at, step = start, _STEP if stop > start else -_STEP
    while rows and abs(stop - at) > 1e-9 and abs(step) > _STEP / 64:
        following = stop if abs(stop - at) < abs(step) else at + step
        row = row_at(following)
        if row is None:
            step /= 2
        else:
            at, rows[following] = following, row
    return rows


def _refine(rows: dict[float, Row], row_at: Callable[[float], Row | None]) -> None:
    """Refine the table in place: halve intervals on which the polynomial misses the values.

    If the values there also exceed `_LARGEST`, the table ends instead.
    """
    outward = list(rows)
    bad = [
        interval
        for near, middle, far in zip(outward, outward[1:], outward[2:], strict=False)
        if not _is_met(rows, near, middle, far, _TWICE_AS_WIDE * ACCURACY)
        for interval in ((near, middle), (middle, far))
    ]
    # Each interval once, from the start outward; a single interval has no neighbour to test it with.
    pending = list(dict.fromkeys(bad)) if len(outward) > 2 else [(outward[0], outward[1])]
    for near, _ in pending:
        if abs(rows[near][0]) > _LARGEST:
            for u in outward[outward.index(near) + 1 :]:
                del rows[u]
            break
    pending = [(near, far) for near, far in pending if far in rows]
    while pending:
        near, far = pending.pop()
        middle = 0.5 * (near + far)
        row = row_at(middle) if abs(far - near) > _LEAST_STEP else None
        if row is None:
            continue
        rows[middle] = row
        if len(rows) > _MOST_NODES:
            raise InvalidInputError(
                f"an expression changes too fast near exp({middle:.4g}) to be followed there; smaller powers and "
                "frequencies can be"
            )
        if not _is_met(rows, near, middle, far, ACCURACY):
            pending += [(near, middle), (middle, far)]


def _is_met(rows: dict[float, Row], near: float, middle: float, far: float, bound: float) -> bool:
    """Whether the polynomial between two nodes agrees with the value at a node between them."""
    nodes = np.array(sorted((near, far)))
    polynomial = _polynomial(nodes, np.array([rows[u] for u in nodes.tolist()]))
    value = rows[middle][0]
    return bool(abs(float(polynomial(middle)) - value) <= bound * (1 + abs(value)))


def _polynomial(nodes: np.ndarray, table: np.ndarray) -> scipy.interpolate.PPoly:
    """Piecewise Hermite polynomials of degree 7: value and three derivatives at both ends of each interval."""
    return scipy.interpolate.PPoly.from_bernstein_basis(
        scipy.interpolate.BPoly.from_derivatives(nodes, table[:, :, None].squeeze(-1))
    )

"""Descent by quasi-Newton steps, with as few operations on vectors as it takes.

SciPy's looks after bounds and copies: for a million variables each of its steps takes as long as three gradients of a
hundred samples. Importing torch's takes longer than all of a certificate.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from jaxtyping import Float
from torch import Tensor

_REMEMBERED: Final = 5
"""Last steps that give the curvature: for large networks the sums over ten would take longer than the gradients."""

_FALL: Final = 1e-4
"""Least fall along a step, relative to what the slope at its beginning promises: the usual value."""

_SLOPE: Final = 0.9
"""Largest slope at the end of a step, relative to that at its beginning: the usual value for quasi-Newton steps."""

_SHRUNK: Final = 0.01
"""Least factor by which a step that leads up is shortened."""

_Pair = tuple[Tensor, Tensor, float]
"""A step, the change of the gradient along it, and one over their inner product."""


def descent(
    evaluated: Callable[[Tensor], tuple[float, Tensor]], start: Float[Tensor, " variable"], *, evaluations: int
) -> Iterator[tuple[float, Float[Tensor, " variable"]]]:
    """Values and places that L-BFGS meets on its way down, one a step, the start first.

    Lengths of steps satisfy Wolfe's conditions and are found by doubling and bisection, which needs no smoothness:
    losses of ReLU have kinks. Ends where no step leads down. Sources: Nocedal and Wright, Numerical Optimization,
    algorithm 7.4; Lewis and Overton (2013), Mathematical Programming 141, algorithm 2.6, for the lengths.

    Parameters
    ----------
    evaluated
        Value and gradient at a place; the value is infinite where there is none.
    start
        Where to start; the first step that is tried has length 1 at most.
    evaluations
        Largest number of places at which the function is evaluated.
    """
    place = start
    value, gradient = evaluated(place)
    evaluations -= 1
    pairs: deque[_Pair] = deque(maxlen=_REMEMBERED)
    while True:
        yield value, place
        direction = _quasi_newton(gradient, pairs)
        slope = float(direction @ gradient)
        if not slope < 0:
            return
        length, below, above = 1.0 if pairs else min(1.0, 1 / float(gradient.norm())), 0.0, math.inf
        while True:
            if not evaluations:
                return
            evaluations -= 1
            there = place.add(direction, alpha=length)
            found, turned = evaluated(there)
            if not found <= value + _FALL * length * slope:
                above = length
            elif float(turned @ direction) < _SLOPE * slope:
                below = length
            else:
                break
            if math.isinf(above):
                length = 2 * below
            elif below > 0:
                length = (below + above) / 2
            else:
                # The parabola with this slope through both values: lengths that are far too long shrink fast.
                length *= min(max(-slope * length / (2 * (found - value - slope * length)), _SHRUNK), 0.5)
        step, change = direction.mul_(length), turned - gradient
        product = float(step @ change)
        # Positive by the second of Wolfe's conditions, but for rounding.
        if product > 0:
            pairs.append((step, change, 1 / product))
        place, value, gradient = there, found, turned


def _quasi_newton(gradient: Tensor, pairs: deque[_Pair]) -> Tensor:
    """Minus the gradient times the inverse of the Hessian that the last steps show."""
    direction = -gradient
    weights = []
    for step, change, weight in reversed(pairs):
        weights.append(weight * float(step @ direction))
        direction.add_(change, alpha=-weights[-1])
    if pairs:
        _, change, weight = pairs[-1]
        direction.div_(weight * float(change @ change))
    for (step, change, weight), first in zip(pairs, reversed(weights), strict=True):
        direction.add_(step, alpha=first - weight * float(change @ direction))
    return direction

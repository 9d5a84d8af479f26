"""Design of a loss that aims at a layer: at the exponent of any quantity of a network, at its margins and path factors.

A q-exponential error signal alone has the exponent q; margins and path factors then move that of a quantity.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from scipy.optimize import brentq

from critlearn.comparison.criteria import AIMED
from critlearn.comparison.ladder.factors import Factors
from critlearn.comparison.ladder.level import USES
from critlearn.comparison.predicted_exponent import predicted_on, quantile_window
from critlearn.errors import InvalidInputError
from critlearn.inverse_design import Design, QMarginLoss, design
from critlearn.inverse_design.criteria import LARGEST_EXPONENT, SMALLEST_EXPONENT
from critlearn.numerics.window import Window
from critlearn.results import Result

_STEPS: Final = 21
"""Exponents q of losses that are tried before a root is refined: every quarter from -2 to 3."""

_RESOLUTION: Final = 2e-5
"""To what q is known: an exponent that rises by a hundred per unit of q, near the end of the margins, is then known to
2e-3, and bins of the sketches move it by 1e-3.
"""


@dataclass(frozen=True, eq=False, repr=False)
class AimedDesign(Result):
    """Loss under which a quantity of a network has a chosen exponent, at fixed margins and path factors.

    Parameters
    ----------
    design
        The loss of the margin; its own exponent q is another one than that of the quantity.
    quantity
        Name of the quantity.
    exponent
        Its predicted exponent on the window.
    window
        Where it has that exponent.
    level
        Level of the prediction: 1 for Gaussian margins, 2 for margins as they are.
    exponents
        Predicted exponents by name of the quantity, each from the 2% to the 50% quantile of its own fluctuations; None
        where there is none.
    zeros
        Share of fluctuations of the quantity that are exactly zero under the loss.
    trained_with
        Name of the composition with which the network was trained.
    """

    design: Design
    quantity: str
    exponent: float
    window: Window
    level: int
    exponents: Mapping[str, float | None]
    zeros: float
    trained_with: str

    def summary(self) -> str:
        """The loss, what it does, and what was kept."""
        others = ", ".join(f"{name} {'-' if k is None else format(k, '.2f')}" for name, k in self.exponents.items())
        lines = [
            f"{self.quantity}: delta^-{self.exponent:.3f} on {self.window.summary()} with q = "
            f"{self.design.exponent:.4g}, by {USES[self.level]}",
            f"margins and path factors as they are after training with {self.trained_with}: training with another loss "
            "moves them",
            f"others, each from its 2% to its 50% quantile: {others}",
        ]
        if self.zeros > 0:
            lines.append(f"{self.zeros:.0%} of the fluctuations are exactly zero")
        return "\n".join([*lines, self.design.summary()])


def aim(
    factors: Factors, names: Iterable[str], level: int, exponent: float, quantity: str, window: Window | None
) -> AimedDesign:
    """Find the loss of the margin under which a quantity has an exponent.

    Parameters
    ----------
    factors
        Margins and path factors of the network.
    names
        Quantities whose exponents are told.
    level
        Level of the predictions, 1 or 2.
    exponent
        Wanted exponent.
    quantity
        Name of the quantity.
    window
        Where it is wanted; None for the window from the 2% to the 50% quantile of its fluctuations under the loss.

    Raises
    ------
    InvalidInputError
        If no loss of the family has it; the message gives the exponents that can be had.
    """
    if not math.isfinite(exponent):
        raise InvalidInputError(f"an exponent is a finite number; got {exponent}")
    # What has no margins is refused here, and not taken for a loss without fluctuations below.
    factors.under(QMarginLoss(1.0))
    tried = np.linspace(SMALLEST_EXPONENT, LARGEST_EXPONENT, _STEPS)
    family = _Family(factors, quantity, level, window)
    exponent_at = cache(family.exponent)
    found = np.array([exponent_at(float(q)) for q in tried])
    if np.isnan(found).all():
        where = "any window" if window is None else window.summary()
        raise InvalidInputError(
            f"no loss of the margin gives {quantity} fluctuations on {where}: give a window where it fluctuates"
        )
    crossed = np.flatnonzero((found[:-1] - exponent) * (found[1:] - exponent) <= 0)
    roots = [_root(exponent_at, float(tried[at]), float(tried[at + 1]), exponent) for at in crossed]
    # Where the exponent jumps, between two losses, there is none in between.
    having = [q for q in roots if abs(exponent_at(q) - exponent) <= AIMED]
    if having:
        # The one that leaves most samples their fluctuations, to a hundredth of them; of such ones the one whose own
        # exponent is nearest to the wanted one.
        best = min(having, key=lambda q: (round(family.zeros(q), 2), abs(q - exponent)))
        return family.result(best, names)
    least, most = np.nanmin(found), np.nanmax(found)
    where = "on its 2% to 50% quantile" if window is None else f"on {window.summary()}"
    raise InvalidInputError(
        f"no loss of the margin gives {quantity} the exponent {exponent:g} {where} at these margins and path factors; "
        f"those with q from {SMALLEST_EXPONENT:g} to {LARGEST_EXPONENT:g} give {least:.2f} to {most:.2f}"
    )


@dataclass(frozen=True, eq=False)
class _Family:
    """Losses of the margin with q-exponential error signals, and the quantity that is aimed at."""

    factors: Factors
    quantity: str
    level: int
    window: Window | None

    def exponent(self, q: float) -> float:
        """Exponent of the quantity under a loss; NaN where it has none, or no fluctuation at all is left."""
        return _exponent(self.factors.under(QMarginLoss(q)), self.quantity, self.level, self.window)

    def zeros(self, q: float) -> float:
        """Share of fluctuations of the quantity that are exactly zero under a loss."""
        return self.factors.under(QMarginLoss(q)).law(self.quantity, self.level).zeros

    def result(self, q: float, names: Iterable[str]) -> AimedDesign:
        """Design of a loss, with what it does to all quantities."""
        factors = self.factors.under(QMarginLoss(q))
        law = factors.law(self.quantity, self.level)
        window = quantile_window(law) if self.window is None else self.window
        assert window is not None
        others = {name: _exponent(factors, name, self.level, None) for name in names}
        return AimedDesign(
            design(q),
            self.quantity,
            _exponent(factors, self.quantity, self.level, self.window),
            window,
            self.level,
            {name: None if math.isnan(k) else k for name, k in others.items()},
            law.zeros,
            self.factors.values.name,
        )


def _exponent(factors: Factors, quantity: str, level: int, window: Window | None) -> float:
    """Exponent of a quantity on a window, or between its own quantiles; NaN where it has none."""
    try:
        law = factors.law(quantity, level)
        own = quantile_window(law) if window is None else window
        found = None if own is None else predicted_on(law, own)
    except InvalidInputError:
        # All errors vanish under the loss, or next to none lie in the window.
        return math.nan
    return math.nan if found is None else found


def _root(exponent_at: Callable[[float], float], low: float, high: float, wanted: float) -> float:
    """Parameter at which the exponent is the wanted one, or jumps across it, between two at either side of it."""
    beyond = exponent_at(high) - wanted

    def gap(q: float) -> float:
        difference = exponent_at(q) - wanted
        # Where there is no exponent, towards the other end.
        return beyond if math.isnan(difference) else difference

    return float(brentq(gap, low, high, xtol=_RESOLUTION))

"""Anatomy of an exponent: what composition, data, depth and dependence each contribute to it."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from critlearn.numerics.window import Window
from critlearn.results import Result


@dataclass(frozen=True)
class Contribution:
    """Contribution to an exponent, with its standard error."""

    value: float
    standard_error: float

    def to_dict(self) -> dict[str, float]:
        """Both as plain values."""
        return {"value": self.value, "standard_error": self.standard_error}


@dataclass(frozen=True, repr=False)
class Anatomy(Result):
    """Contributions to an exponent on one window, which add up to the measured one.

    They are differences of the exponents of nested counterfactuals: uniform margins and one path factor for all samples
    (``k0``), margins as they are (``k1``), path factors of other samples (``k2``), those of the same samples (``k3``),
    which is what is measured.

    Parameters
    ----------
    composition
        ``k0``; None where errors depend on more than one number, or the window reaches to the largest of them, where it
        would depend on how far the margins reach: composition and data are told together, as data.
    data
        ``k1 - k0``: that values of the margins are not equally frequent.
    path
        ``k2 - k1``: that path factors differ between samples and between variables, which is depth.
    dependence
        ``k3 - k2``: that margin and path factor of a sample depend on each other.
    window
        Where the exponents are taken: the window of the fit, and of a law with cut-off what lies below the cut-off.
    """

    composition: Contribution | None
    data: Contribution
    path: Contribution
    dependence: Contribution
    window: Window

    @property
    def total(self) -> float:
        """Sum of the contributions: the measured exponent."""
        parts = (self.composition, self.data, self.path, self.dependence)
        return sum(part.value for part in parts if part is not None)

    def to_dict(self) -> dict[str, Any]:
        """Contributions and their sum as plain values."""
        parts = {name: getattr(self, name) for name in ("composition", "data", "path", "dependence")}
        contributions = {name: None if part is None else part.to_dict() for name, part in parts.items()}
        return {**contributions, "total": self.total, "window": [self.window.lo, self.window.hi]}

    def summary(self) -> str:
        """Say what each part adds, or takes, in one sentence."""
        composition = None if self.composition is None else self.composition.value
        return sum_in_words(composition, self.data.value, self.path.value, self.dependence.value)


_NOTHING: Final = 0.005
"""Contribution that is zero by the two digits that sentences have."""


_LARGE: Final = 1.0
"""Parts of opposite signs beyond which only their sum is told in words: it is as large as a whole exponent."""


def sum_in_words(composition: float | None, data: float, path: float, dependence: float) -> str:
    r"""Sum of the contributions as a sentence.

    >>> print(sum_in_words(0.99, -0.455, 0.091, 0.001).replace("; ", ";\n"))
    the composition alone would give 0.99;
    that small errors are rare takes 0.46;
    depth adds 0.09;
    dependence changes nothing: together 0.63
    >>> print(sum_in_words(1.0, -1.9, 1.4, 0.15).split("; ")[1])
    data and depth, which nearly cancel, take 0.50
    """
    if composition is None:
        said = [f"composition and data give {data:.2f}"]
    else:
        cause = f"that small errors are {'frequent' if data > 0 else 'rare'}" if abs(data) >= _NOTHING else "data"
        said = [f"the composition alone would give {composition:.2f}", f"{cause} {_adds(data)}"]
    said += [f"depth {_adds(path)}", f"dependence {_adds(dependence)}"]
    if abs(data) > _LARGE and abs(path) > _LARGE and data * path < 0 and composition is not None:
        # Margins of the window are those of other path factors: each part alone says little.
        both = data + path
        said[1:3] = [f"data and depth, which nearly cancel, {'add' if both > 0 else 'take'} {abs(both):.2f}"]
    told = f"{'; '.join(said)}: together {(composition or 0.0) + data + path + dependence:.2f}"
    return told.replace("-", "\N{MINUS SIGN}")


def _adds(value: float) -> str:
    """Say what a part does to the exponent."""
    return "changes nothing" if abs(value) < _NOTHING else f"{'adds' if value > 0 else 'takes'} {abs(value):.2f}"


Exponent = tuple[float, Float64[np.ndarray, " group"]]
"""Exponent, and the influence of each group of samples on it."""


def anatomy_of(k0: Exponent | None, k1: Exponent, k2: Exponent, k3: Exponent, window: Window) -> Anatomy:
    """Anatomy from the exponents of the counterfactuals on a window."""
    zero = (0.0, np.zeros_like(k1[1]))
    return Anatomy(
        None if k0 is None else contribution(k0, zero),
        contribution(k1, zero if k0 is None else k0),
        contribution(k2, k1),
        contribution(k3, k2),
        window,
    )


def contribution(one: Exponent, other: Exponent) -> Contribution:
    """Difference of two exponents, with the standard error of groups of samples that have influence on both."""
    influence = one[1] - other[1]
    groups = len(influence)
    return Contribution(one[0] - other[0], math.sqrt(float((influence**2).sum()) * groups / max(groups - 2, 1)))

"""Modes of learning as results: the numbers of each, and those of all together."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from critlearn.numerics.notation import with_error
from critlearn.results import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Mode(Result):
    """One mode: the problem of one dimension ``delta = |e| |c|`` along a direction v of the trainable variables.

    ``z = v . delta`` is the change of a sample along the direction, e its output error and ``c = v . dy/dq`` its path
    factor there. Distances are of Kolmogorov and Smirnov, between distributions of ``ln|z|`` without exact zeros, of a
    prediction made from half A and the values of half B. Every ``_error`` is a standard error by the jackknife over
    groups of samples; NaN where there is none.

    Parameters
    ----------
    share
        Share of the variance of the changes.
    variance_ratio
        Variance along the mode in half B over that in half A, from which the mode was made: below 1 as far as the mode
        is a matter of chance of those samples.
    r_squared
        Squared correlation of ``ln|z|`` with ``ln|e|``: how far the output error alone decides the size of the change.
    zeros
        Share of the samples whose change is exactly zero.
    bare
        Distance if the path factor is the same for all samples: its geometric mean.
    independent
        Distance if a sample's path factor is that of another one: convolution of ``ln|e|`` with ``ln|c|``.
    joint
        Distance with error and path factor of the same sample. This is an identity, a check of sampling only.
    noise
        Distance between the values of the two halves, below which none of the others says anything.
    """

    share: float
    share_error: float
    variance_ratio: float
    variance_ratio_error: float
    r_squared: float
    r_squared_error: float
    zeros: float
    bare: float
    bare_error: float
    independent: float
    independent_error: float
    joint: float
    joint_error: float
    noise: float
    noise_error: float

    def summary(self) -> str:
        """One line, e.g. ``share 0.725 +- 0.008, R2 0.93; KS bare 0.10, independent 0.04, joint 0.01, noise 0.01``."""
        kinds = ", ".join(f"{name} {getattr(self, name):.3f}" for name in ("bare", "independent", "joint", "noise"))
        decided = "–" if math.isnan(self.r_squared) else f"{self.r_squared:.2f}"
        return f"share {with_error(self.share, self.share_error)}, R2 {decided}; KS {kinds}"


@dataclass(frozen=True, eq=False, repr=False)
class Modes(Result):
    """Modes of learning of a network on its data, see `critlearn.modes`.

    Parameters
    ----------
    modes
        The modes, that of the largest variance first.
    participation_ratio
        Effective number of modes, ``(sum of variances)^2 / sum of squared variances``.
    coupling
        Mean size of the correlation between modes of ``ln|z| - ln|e|``, the logarithm of the path factor; None for one
        mode alone.
    coupling_floor
        Mean size that the correlation of independent modes has in so many samples.
    correlations
        The correlations, shape (mode, mode).
    samples
        Number of samples in half A, from which the modes are made, and in half B.
    variables
        Number of trainable variables.
    exact
        Whether the changes were decomposed as a whole, and not in the image of random vectors.
    drawn_from
        Number of samples from which those of both halves were drawn; None if all were taken.
    """

    modes: tuple[Mode, ...]
    participation_ratio: float
    participation_ratio_error: float
    coupling: float
    coupling_error: float
    coupling_floor: float
    correlations: Float64[np.ndarray, "mode mode"]
    samples: tuple[int, int]
    variables: int
    exact: bool
    drawn_from: int | None = None

    derived_values = ("share",)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Modes":
        """Modes of the plain values that `to_dict` gives."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        found = tuple(
            Mode(**{field.name: _number(one[field.name]) for field in fields(Mode)}) for one in values["modes"]
        )
        # Numbers that do not exist are None there.
        known |= {name: _number(known[name]) for name in _ESTIMATED}
        rows = [[_number(value) for value in row] for row in values["correlations"]]
        correlations = np.array(rows, dtype=np.float64).reshape(len(rows), len(rows))
        return cls(**{**known, "modes": found, "correlations": correlations, "samples": tuple(known["samples"])})

    @property
    def share(self) -> float:
        """Share of the variance that all these modes have together."""
        return sum(mode.share for mode in self.modes)

    def summary(self) -> str:
        """One line for all together, then one for each mode."""
        return "\n".join([self.headline(), *(f"mode {at}: {mode.summary()}" for at, mode in enumerate(self.modes, 1))])

    def headline(self) -> str:
        """The line for all together."""
        number = "1 mode" if len(self.modes) == 1 else f"{len(self.modes)} modes"
        coupling = "no coupling of one mode"
        if len(self.modes) > 1:
            floor = f"{self.coupling_floor:.3f} if independent"
            coupling = f"coupling {with_error(self.coupling, self.coupling_error)} ({floor})"
        ratio = with_error(self.participation_ratio, self.participation_ratio_error)
        return f"{number} with {self.share:.1%} of the variance; participation ratio {ratio}; {coupling}"

    def to_dataframe(self) -> "pd.DataFrame":
        """Row for each mode."""
        import pandas as pd

        rows = [mode.to_dict() for mode in self.modes]
        return pd.DataFrame(rows, index=pd.Index(range(1, 1 + len(rows)), name="mode"))

    def plot(self) -> "Figure":
        """Shares of the modes, and distances of the three predictions beside the noise."""
        from critlearn.figures.modes import modes_figure

        return modes_figure(self.to_dataframe())


_ESTIMATED = ("participation_ratio", "participation_ratio_error", "coupling", "coupling_error", "coupling_floor")
"""Numbers of all modes together that need not exist."""


def _number(value: float | None) -> float:
    """Number of plain values, NaN where it does not exist."""
    return math.nan if value is None else value


def modes_through_training(states: Mapping[Hashable, Modes]) -> "pd.DataFrame":
    """Table of what modes say together, a row for each state of a training.

    `critlearn.figures.modes.modes_through_training_figure` draws it.

    >>> before = Modes((), 2.0, 0.1, 0.2, 0.01, 0.02, np.zeros((0, 0)), (10, 10), 3, exact=True)
    >>> modes_through_training({0: before})["participation_ratio"].to_dict()
    {0: 2.0}

    Parameters
    ----------
    states
        Modes by step, epoch or any other name.
    """
    import pandas as pd

    return pd.DataFrame([_row(state) for state in states.values()], index=pd.Index(list(states), name="state"))


def _row(state: Modes) -> dict[str, Any]:
    """What modes say together, and the share of the first."""
    first = state.modes[0] if state.modes else None
    return {
        "first_share": None if first is None else first.share,
        "first_share_error": None if first is None else first.share_error,
        "share": state.share,
        "participation_ratio": state.participation_ratio,
        "participation_ratio_error": state.participation_ratio_error,
        "coupling": state.coupling,
        "coupling_error": state.coupling_error,
        "coupling_floor": state.coupling_floor,
    }

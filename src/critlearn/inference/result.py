"""Outcome of a power-law fit, as a value."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike

from critlearn.errors import InvalidInputError
from critlearn.inference.counts.density import DensityCurve
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.criteria import WHOLE
from critlearn.inference.grade import SUPPORTED, Basis, Grade
from critlearn.inference.laws.alternatives import Alternative
from critlearn.inference.laws.cutoff import Cutoff
from critlearn.inference.laws.fitted_law import FittedLaw, law_on_window
from critlearn.inference.laws.global_alternatives import Rival
from critlearn.inference.laws.lognormal import Lognormal
from critlearn.inference.plots import PlotKind, plot_fit
from critlearn.inference.window.local_exponent import LocalExponentCurve
from critlearn.numerics.notation import law_text
from critlearn.numerics.window import Window
from critlearn.results import Result, flat_row

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_PAIRS: Final = ("ci95", "ci95_total", "naive_ci95", "window", "log_window")
"""Entries of `PowerLawFit.to_dict` that are intervals."""

_PARTS: Final = ("cutoff", "lognormal", "lognormal_whole", "rival", "equivalence", "significance")
"""Entries that are results of their own, or None."""


@dataclass(frozen=True, repr=False)
class WindowChoice(Result):
    """Window that one criterion chooses, and the fit on it.

    ``p_value`` is that of the Kolmogorov-Smirnov test as if the window had not been searched for.
    """

    window: Window
    exponent: float
    standard_error: float
    n: int
    p_value: float | None

    def to_dict(self) -> dict[str, Any]:
        """Window and fit as plain values."""
        return {
            "window": [self.window.lo, self.window.hi],
            "decades": self.window.decades,
            "exponent": self.exponent,
            "stderr": self.standard_error,
            "n": self.n,
            "p_value": self.p_value,
        }

    def summary(self) -> str:
        """One line: the exponent, its error and the window."""
        return f"k = {self.exponent:.3f} +- {self.standard_error:.2g} on {self.window.summary()}"


@dataclass(frozen=True, repr=False)
class PowerLawFit(Result):
    """Power law ``p(delta) ~ delta^-k`` on a window; what does not exist is None.

    Parameters
    ----------
    exponent
        ``k``; of a law with cut-off, of its power. It exists wherever there is a window, whatever the grade.
    standard_error, ci95
        By bootstrap over groups of dependent samples; by likelihood if all are independent. Of a window that was found
        by significance they contain the selection error.
    ci95_total
        ``ci95`` widened to either side by the systematic part: half the drift of the local exponent, over the range of
        the central 99% of the values, that a lognormal on the window does not exclude. A law that is approached slowly
        has its limit in there. Of a law with cut-off, by the difference to the exponent on the bounded window that was
        found: its end may have another form.
    selection_error
        Change of the exponent when the widest window that is not rejected was drawn in; 0 for other windows.
    naive_standard_error, naive_ci95
        By Fisher information and by profile likelihood, as if all fluctuations were independent.
    window
        Where it was fitted.
    n, retained
        Non-zero fluctuations on the window, and their share of all non-zero ones.
    effective_n
        Number of independent fluctuations that would give the same error.
    count, zeros, omitted, below_floor
        All fluctuations; the exact zeros, the NaN or infinite ones, and those below the resolution floor among them.
    log_floor
        ``ln`` of the resolution floor.
    ks, p_value, p_value_error
        Kolmogorov-Smirnov distance, its p-value, and the Monte-Carlo error of that.
    selection_repeated
        Whether the p-value repeats the choice of the window in every replicate; otherwise it is computed as if the
        window had not been searched for.
    log_likelihood
        Sum over the window of ``ln p(u)``, the density in ``u = ln delta`` of the values (``ln P(x)`` of integers).
        Of counts, ``p`` in a cell is its probability over its width. For the density in delta itself the sum is smaller
        by that of ``ln delta``. Of the power law without a cut-off, with which the alternatives are compared.
    grade, basis, reason
        Grade, how the window was chosen, and the reason for the grade.
    cutoff
        Exponent and scale of a law with cut-off, where that was fitted, whatever its grade.
    rivals
        Names of the laws that describe the window as well.
    needed
        Number of values that would decide, where they are too few.
    discrete, integers, sizes
        Whether the law is one on integers, whether all values are integers, and the number of different sizes on the
        window of a law on integers.
    heaped_digits
        Significant digits to which many values were rounded; the fit then takes rounding for binning.
    autocorrelation_time
        Neighbours that are worth one independent value, where the order of the values shows dependence and errors are
        over blocks for that reason.
    lognormal, lognormal_whole
        Test against a lognormal on the window, and on the central 99% of all fluctuations.
    rival
        The law that does best on a window that was found without having been fitted there: it was fitted to all values.
        None where a window was given, or holds nine tenths of the values.
    alternatives
        Alternatives on the window.
    equivalence, significance
        Windows by the two criteria, where a window was searched for and found.
    curve, density
        Local exponent, and empirical density, over the whole range.
    counts
        Counts of all values that entered, as one group, on the cells on which the law was fitted.
    """

    exponent: float | None
    standard_error: float | None
    naive_standard_error: float | None
    ci95: tuple[float, float] | None
    window: Window | None
    n: int
    retained: float | None
    count: int
    zeros: int
    ks: float | None
    p_value: float | None
    p_value_error: float | None
    grade: Grade
    basis: Basis
    reason: str
    lognormal: Lognormal | None
    lognormal_whole: Lognormal | None
    curve: LocalExponentCurve | None
    naive_ci95: tuple[float, float] | None = None
    selection_error: float | None = None
    rival: Rival | None = None
    ci95_total: tuple[float, float] | None = None
    cutoff: Cutoff | None = None
    rivals: tuple[str, ...] = ()
    needed: int | None = None
    discrete: bool = False
    integers: bool = False
    sizes: int | None = None
    heaped_digits: int | None = None
    autocorrelation_time: float | None = None
    effective_n: float | None = None
    omitted: int = 0
    below_floor: int = 0
    log_floor: float | None = None
    selection_repeated: bool = False
    log_likelihood: float | None = None
    alternatives: tuple[Alternative, ...] = field(default=(), repr=False)
    equivalence: WindowChoice | None = None
    significance: WindowChoice | None = None
    density: DensityCurve | None = field(default=None, repr=False)
    counts: GroupedCounts | None = field(default=None, repr=False)

    @property
    def decades(self) -> float | None:
        """Width of the window in decades; None without one."""
        return None if self.window is None else self.window.decades

    @property
    def verdict(self) -> Grade:
        """The grade, by the name of its key in `to_dict`."""
        return self.grade

    @property
    def drift(self) -> float | None:
        """Change of the local exponent over the window, by a lognormal on it."""
        return None if self.lognormal is None else self.lognormal.drift

    @property
    def drift_error(self) -> float | None:
        """Standard error of the drift."""
        return None if self.lognormal is None else self.lognormal.drift_error

    @property
    def window_is_partial(self) -> bool:
        """Whether a lognormal fits the whole range better, and the window is only a part of it."""
        whole = self.lognormal_whole
        return whole is not None and whole.preferred and (self.retained or 0.0) < WHOLE

    @property
    def established(self) -> bool:
        """Whether the grade claims a power law, with or without a cut-off."""
        return self.grade in SUPPORTED

    @cached_property
    def law(self) -> FittedLaw | None:
        """Fitted law as a distribution of the values on the window; None without an exponent."""
        if self.exponent is None or self.window is None or self.counts is None:
            return None
        log_scale = None if self.cutoff is None else math.log(self.cutoff.scale)
        return law_on_window(self.exponent, self.window, self.counts, log_scale=log_scale)

    @property
    def _law(self) -> FittedLaw:
        if self.law is None:
            raise InvalidInputError(f"without an exponent there is no law: {self.summary()}")
        return self.law

    def pdf(self, x: ArrayLike) -> Any:
        """Density of the law at ``x``; for integers the probability. See `FittedLaw`."""
        return self._law.pdf(x)

    def cdf(self, x: ArrayLike) -> Any:
        """``P(X <= x)`` of the law."""
        return self._law.cdf(x)

    def ccdf(self, x: ArrayLike) -> Any:
        """``P(X > x)`` of the law: SciPy's ``sf``."""
        return self._law.ccdf(x)

    def ppf(self, q: ArrayLike) -> Any:
        """Quantile of the law."""
        return self._law.ppf(q)

    def rvs(
        self, size: int | tuple[int, ...] | None = None, random_state: int | np.random.Generator | None = None
    ) -> Any:
        """Draw values from the law."""
        return self._law.rvs(size, random_state)

    def plot(self, kind: PlotKind = "density", ax: "Axes | None" = None, *, name: str = "x") -> "Axes":
        """Draw the fit; the axes carry decimal logarithms of sizes.

        Parameters
        ----------
        kind
            ``density`` of all values and the law on its window, ``ccdf`` the same for the share of values at ``x`` or
            above, ``local`` the local exponent, ``stability`` the exponent by the lower end of the window, or ``qq``
            the quantiles of the values on the window against those of the law.
        ax
            Where to draw; new axes of pyplot if None.
        name
            Name of the quantity, for the labels.

        Raises
        ------
        InvalidInputError
            If there is no such kind.
        """
        return plot_fit(self, kind, ax, name)

    def to_dict(self) -> dict[str, Any]:
        """Fit as plain values, by the names that other programs read."""
        return {
            "exponent": self.exponent,
            "stderr": self.standard_error,
            "naive_stderr": self.naive_standard_error,
            "selection_error": self.selection_error,
            "ci95": list(self.ci95) if self.ci95 else None,
            "ci95_total": list(self.ci95_total) if self.ci95_total else None,
            "drift": self.drift,
            "drift_stderr": self.drift_error,
            "cutoff": self.cutoff.to_dict() if self.cutoff else None,
            "discrete": self.discrete,
            "sizes": self.sizes,
            "heaped_digits": self.heaped_digits,
            "autocorrelation_time": self.autocorrelation_time,
            "naive_ci95": list(self.naive_ci95) if self.naive_ci95 else None,
            "window": self._ends(),
            "log_window": [self.window.log_lo, self.window.log_hi] if self.window else None,
            "decades": self.decades,
            "n": self.n,
            "effective_n": self.effective_n,
            "retained": self.retained,
            "count": self.count,
            "zeros": self.zeros,
            "omitted": self.omitted,
            "below_floor": self.below_floor,
            "log_floor": self.log_floor,
            "ks": self.ks,
            "p_value": self.p_value,
            "p_value_error": self.p_value_error,
            "selection_repeated": self.selection_repeated,
            "log_likelihood": self.log_likelihood,
            "verdict": str(self.grade),
            "basis": str(self.basis),
            "reason": self.reason,
            "rivals": list(self.rivals),
            "needed": self.needed,
            "lognormal": self.lognormal.to_dict() if self.lognormal else None,
            "lognormal_whole": self.lognormal_whole.to_dict() if self.lognormal_whole else None,
            "rival": self.rival.to_dict() if self.rival else None,
            "alternatives": [alternative.to_dict() for alternative in self.alternatives],
            "equivalence": self.equivalence.to_dict() if self.equivalence else None,
            "significance": self.significance.to_dict() if self.significance else None,
        }

    def _ends(self) -> list[float] | None:
        """Ends of the window, those of integers as the integers that they are."""
        if self.window is None:
            return None
        ends = [self.window.lo, self.window.hi]
        return [float(round(end)) for end in ends] if self.discrete else ends

    def to_dataframe(self) -> "pd.DataFrame":
        """Fit as one row of plain values, so that many fits are a table.

        Intervals and windows are two columns, as ``ci95_low`` and ``ci95_high``; parts have dotted names, as
        ``lognormal.p_value``, and no columns where they do not exist; of each alternative there are the p-value, the
        gain by BIC and what is preferred, as ``alternatives.exponential.p_value``; rivals are one text.
        """
        import pandas as pd

        values = {name: value for name, value in self.to_dict().items() if name not in _PARTS or value is not None}
        values["rivals"] = ", ".join(self.rivals)
        values["alternatives"] = {
            item.name: {"p_value": item.p_value, "bic_gain": item.bic_gain, "preferred": item.preferred}
            for item in self.alternatives
        }
        return pd.DataFrame([flat_row(values, _PAIRS)])

    def summary(self) -> str:
        """One line, e.g. ``delta^-1.01 [0.99, 1.03] over 4.2 decades (power law: ...)``."""
        if self.exponent is None or self.window is None or self.ci95 is None:
            return f"{self.grade}: {self.reason}"
        value = f"{law_text('delta', self.exponent, self.ci95)} over {self.window.decades:.1f} decades"
        return f"{value} ({self.grade}: {self.reason})"

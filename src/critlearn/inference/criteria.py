"""Every number that decides what a fit says: its verdict, its window, its warnings.

Each stands here once, with its unit and the page of the documentation that shows its effect.
"""

import math
from dataclasses import dataclass
from typing import Final

from critlearn.errors import InvalidInputError
from critlearn.numerics.validation import as_number, check_integer

TOLERANCE: Final = 0.05
"""How far the local exponent may be from a constant to count as one in practice, in units of the exponent.

Effect: docs/inference_tests.md (verdicts where the window is searched for) and docs/inference_recovery.md.
"""

MOST_REPLICATES: Final = 100_000
"""Largest number of replicates: the standard error of a p-value is then at most 0.0016, and the counts of all take some
hundred megabytes."""

REPLICATES: Final = 400
"""Replicates of a p-value on a window, whose standard error is then at most 0.025. Effect: docs/inference_tests.md
(p-values on true power laws).
"""

MARGIN: Final = 0.05
"""Difference between two exponents that counts as none in practice; also between a measured and a predicted one.

Effect: docs/toy_exponents.md and docs/catalogue_exponents.md, where agreement is counted with it.
"""

TEST_LEVEL: Final = 0.05
"""p-value below which two exponents are called different, or equal within the margin. Effect: docs/inference.md
(comparing exponents).
"""

WIDEST_INTERVAL: Final = 0.25
"""Half-width of the 95% interval, in units of the exponent, above which an exponent is not resolved.

At it an interval just tells the exponents 1 and 3/2 of the catalogue apart. A comparison with a prediction decides
nothing above it either. Effect: docs/inference_tests.md (too few data), docs/reproduction.md (comparisons that are
decided).
"""

DECADE: Final = math.log(10.0)
"""Width in ``ln delta`` of the narrowest window that may be called a power law: one decade. Effect:
docs/inference_tests.md.
"""

FEWEST: Final = 50
"""Number of fluctuations without which nothing is said. Effect: docs/inference_tests.md."""

FEWEST_CELLS: Final = 5
"""Number of cells in a window below which no law is fitted or compared: two ends and an exponent leave two to test.

Effect: docs/inference_tests.md (too few data).
"""

DEPENDENCE_SIGNIFICANCE: Final = 8.0
"""Standard deviations of a portmanteau statistic from which on the order of values shows dependence: one series in
millions has it by chance. Effect: docs/grades_measured.md (autoregressive).
"""

NOTICEABLE_TIME: Final = 1.2
"""Autocorrelation time from which on errors change by a tenth; below it, values count as independent. Effect:
docs/grades_measured.md (autoregressive).
"""

BLOCK_TIMES: Final = 5.0
"""Length of blocks in autocorrelation times: their variance is then that of the series but for a tenth. Effect:
docs/grades_measured.md (autoregressive).
"""

FEWEST_BLOCKS: Final = 20
"""Number of blocks that errors are taken over at least: Student's t with fewer degrees of freedom is wide. Effect:
docs/grades_measured.md (autoregressive).
"""

HEAPED: Final = 0.1
"""Share of round values above that by chance that makes heaps: fewer move no exponent by as much as its error. Effect:
docs/grades_measured.md (two digits, one digit).
"""

SMALL_INTEGER: Final = 100
"""Integer below which the step to the next one, 1% or more, is wider than a cell: a law on integers is another one than
on real numbers. Effect: docs/grades_measured.md (integers).
"""

WHOLLY_ACCEPTED: Final = 1.0
"""``sqrt(n)`` times the Kolmogorov-Smirnov distance below which a law with two fitted parameters describes all values.

The 1% point for a fitted normal law is 1.03 (Lilliefors, JASA 62, 399, 1967); for other laws it is near. Effect:
docs/grades_measured.md (Weibull).
"""

SCALE_BEYOND: Final = 3.0
"""Distance in ``ln delta`` from the largest value within which the scale of a logarithm lies.

A product of factors that end somewhere ends there too. A scale far beyond would make any power a logarithm. Effect:
docs/grades_measured.md (products).
"""

AS_GOOD_LOGARITHM: Final = 2.0
"""Log-likelihood by which a logarithm may be worse than the power law, or than the best one, and still be as good.
Effect: docs/grades_measured.md (products).
"""

LEAST_RETAINED: Final = 0.05
"""Share of the fluctuations that a window should hold: far enough out, anything passes for a power law. Effect:
docs/inference_tests.md (lognormal).
"""

LEAST_TAIL_SHARE: Final = 0.002
"""Share of the fluctuations that a window at an end of the data must hold where none holds `LEAST_RETAINED`: a tail
below a body of another shape. Effect: docs/published_data_sets.md.
"""

FEWEST_IN_TAIL: Final = 300
"""Number of fluctuations in such a window: with fewer, the last decade of a lognormal passes for a power law. Effect:
docs/inference_tests.md.
"""

FEWEST_ON_WINDOW: Final = 16
"""Number of different sizes on a window below which a law on integers is not tested.

The ten sizes from 1 to 10 are a decade, and two parameters describe nearly anything on them. Effect:
docs/inference_tests.md (negative binomial, five sizes).
"""

CUT_OFF_SIGNIFICANCE: Final = 1e-3
"""p-value of a power law to infinity below which a cut-off is needed: its scale is then three errors from infinity.

Stricter than `SIGNIFICANCE`, as the lower end is chosen where the law with cut-off fits. Effect:
docs/inference_tests.md (slowly converging tails).
"""

NEARLY_AS_GOOD: Final = 2.0
"""Log-likelihood by which a rival of a law with cut-off, with as many parameters, may be worse and still do as well.

Twice that is a difference of information criteria that leaves a model "considerably less support" (Burnham and Anderson
2002). Effect: docs/inference_tests.md (products).
"""

LEAST_CUT_OFF: Final = 10**0.5
"""Scale of a cut-off over the lower end of the law, below which there is no law before it: half a decade. Effect:
docs/inference_tests.md (geometric, Poisson).
"""

WHOLE: Final = 0.9
"""Share of the values from which on a window is not a part of the data, but the data. Effect: docs/inference_tests.md.
"""

ACCEPTED: Final = 0.1
"""p-value from which a window is accepted (Deluca and Corral, Acta Geophysica 61, 1351, 2013). Effect:
docs/inference_tests.md (p-values on true power laws).
"""

REJECTED_AFTER_SEARCH: Final = 0.01
"""p-value below which a window that the search has already accepted is rejected on finer cells and other replicates.

A tenth of `ACCEPTED`: at the same level one true power law in ten would be rejected by the second test alone. Effect:
docs/inference_recovery.md (window found).
"""

SIGNIFICANCE: Final = 0.01
"""p-value below which an alternative is preferred to the power law. Effect: docs/inference_tests.md (lognormal)."""

LARGEST_DRIFT: Final = 0.2
"""Change of the exponent that must be excluded for a power law: not to reject is no evidence.

Over the range of the central 95% of the values on the window: a steep law has few values in its last decades, from
which no drift can be known. Where it is not excluded, a lognormal does as well, and the law is compatible with the
data. Effect: docs/inference_tests.md (products, logit-normals).
"""

TOLERATED_DRIFT: Final = 0.2
"""Change of the exponent over a window up to which a law that holds only nearly is still compatible with the data.

Beyond it, and significant, it is a drifting exponent. Twice that of a power law by equivalence (plus and minus
`TOLERANCE`). Effect: docs/published_data_sets.md (histograms of many values).
"""

FLAT: Final = 0.1
"""Exponent, up or down, below which a window may be the flat start of a density that is finite at zero. Effect:
docs/inference_tests.md (exponential, Gaussian).
"""

MOST_BELOW_FLAT: Final = 0.15
"""Number of values below a flat window, over those in it, above which it is no start of a density. Effect:
docs/inference_tests.md (exponential, Gaussian).
"""

MOST_EMPTY: Final = 0.1
"""Share of its values that a fitted law may expect where a given window holds none. Effect: docs/grades.md
(rejected).
"""

MISSING_VALUES: Final = 20
"""Number of values expected where a given window holds none, below which their absence says nothing. Effect:
docs/grades.md (rejected).
"""

DRAWN_IN: Final = 0.1
"""Share of its decades by which a window that was found is drawn in at each end among the data.

The widest window that is not rejected reaches beyond the law by as much as the test does not notice. Effect:
docs/inference_recovery.md (window found: bias and coverage).
"""

LEAST_OF_TAIL: Final = 0.4
"""Share of its values that a tail which was found keeps at least, when its lower end is moved to where it fits best.
Effect: docs/published_data_sets.md (tails drawn from published laws).
"""

MOST_DRAWN_IN: Final = 0.2
"""Share of its values that a window loses at each end, at most, when it is drawn in. Effect:
docs/inference_recovery.md.
"""

SPARSE_END: Final = 0.02
"""Share of the values beside an end of the data below which nothing is known of that end, and a window leaves it out.
Effect: docs/inference_recovery.md.
"""

WINDOW_PARAMETERS: Final = 3
"""Parameters that a power law on a window takes from the data there: its exponent and both ends. They are what it pays
for, in the information criterion, against a law fitted to all values. Effect: docs/inference_tests.md.
"""

RESOLVED_QUANTA: Final = 64
"""Multiple of the smallest step of rounded data from which on a value is itself: it is rounded by less than 1%, the
width of a cell. Effect: docs/inference.md (resolution).
"""

FAR_SPAN: Final = 24 * DECADE
"""Range of the data in ``ln delta`` up to which single far values do no harm: short windows keep their resolution.
Effect: docs/inference_tests.md (one value of 1e-200).
"""

MOST_FAR_VALUES: Final = 30
"""Number of values at an end that may be left out as far from all others. Effect: as `FAR_SPAN`."""

LARGEST_FAR_SHARE: Final = 0.1
"""Share of all values that may be left out as far from the others, where they are few. Effect: as `FAR_SPAN`."""

LEAST_FAR_DISTANCE: Final = 5 * DECADE
"""Distance in ``ln delta`` from the other values that makes values far ones. Effect: as `FAR_SPAN`."""

FARTHEST_NOISE: Final = 8.0
"""Standard deviations of the noise beyond which no value lies by chance: a fit with noise refuses a window that leaves
such values out. Effect: docs/inference.md (noise).
"""

LARGEST_NOISY_ERROR: Final = 1.0
"""Standard error of the exponent above which a fit with noise resolves nothing, and is refused. Effect:
docs/inference.md (noise).
"""

LEAST_NOISE_INFORMATION: Final = 0.1
"""Information on the logarithm of the noise scale (one over its squared error) below which noise is too small to be
seen, so that its scale has no error. Effect: docs/inference.md (noise).
"""


@dataclass(frozen=True)
class Criteria:
    """Criteria for the test of a window: tolerance of practical equivalence, and numbers of replicates.

    Parameters
    ----------
    tolerance
        How far the local exponent may be from a constant on a power law.
    replicates
        Number of replicates for the p-value on the window as it is, and for the bootstrap over groups (1,000 or more
        for intervals).
    selection_replicates
        If positive, the p-value of a window found by significance repeats the search in that many replicates.

    Raises
    ------
    InvalidInputError
        If the tolerance is not positive, or replicates are no integers or fewer than 10 (those of the selection
        may be 0).
    """

    tolerance: float = TOLERANCE
    replicates: int = REPLICATES
    selection_replicates: int = 0

    def __post_init__(self) -> None:
        """Raise if the tolerance is not positive, or replicates are too few."""
        for name, value in (("replicates", self.replicates), ("selection_replicates", self.selection_replicates)):
            check_integer(name, value)
            if value > MOST_REPLICATES:
                raise InvalidInputError(
                    f"{value:,} replicates are too many: {MOST_REPLICATES:,} give a p-value to three decimals"
                )
        if not 0 < as_number(self.tolerance) < math.inf:
            raise InvalidInputError(f"the tolerance must be positive; got {self.tolerance}")
        if self.replicates < 10:
            raise InvalidInputError(f"a bootstrap needs at least 10 replicates; got {self.replicates}")
        if self.selection_replicates != 0 and self.selection_replicates < 10:
            raise InvalidInputError(
                f"a selection is repeated 10 times or more, or not at all; got {self.selection_replicates}"
            )


DEFAULT_CRITERIA: Final = Criteria()
"""Criteria that are used by default."""

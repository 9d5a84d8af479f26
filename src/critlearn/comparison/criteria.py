"""Criteria for the agreement of a measurement with a prediction.

The margin is that of `inference.criteria`, so that the same rule decides everywhere whether two exponents are equal in
practice.
"""

from typing import Final

from critlearn.inference.criteria import MARGIN
from critlearn.numerics.log_sketch import BIN_WIDTH

__all__ = [
    "AIMED",
    "DISTANCE",
    "FEWEST_SAMPLES",
    "HIGH_QUANTILE",
    "LEAST_PREDICTED_SHARE",
    "LEAST_REACH",
    "LEAST_SAMPLES",
    "LEAST_SHARE",
    "LEVEL",
    "LOW_QUANTILE",
    "MARGIN",
    "MOST_NEEDED",
    "ONE_PATH",
    "REACHES",
    "RESAMPLED",
    "SETTLED",
    "TAIL",
    "TOLD",
]

LEAST_PREDICTED_SHARE: Final = 1e-4
"""Smallest predicted probability of the measured window for which a predicted exponent is computed there.

Below it, the predicted density is the far tail of a kernel estimate, which carries no information. Effect:
docs/reproduction.md (comparisons that are decided).
"""

DISTANCE: Final = 0.05
"""Largest Kolmogorov-Smirnov distance of two distributions that counts as none in practice: one fluctuation in twenty
is elsewhere. An exponent that is off by `MARGIN` moves as many over 3.5 decades. Effect: docs/ladder.md.
"""

LEVEL: Final = 0.05
"""Level of the test of a distance, and of the bounds that decide on agreement. Effect: docs/ladder.md (calibration)."""

MOST_NEEDED: Final = 100.0
"""Times as many samples up to which it is said how many would decide: beyond, the number says only that it is not near.
Effect: docs/ladder.md.
"""

FEWEST_SAMPLES: Final = 40
"""Samples that a ladder needs: ten for the density of the margins in each half, and as many again. Effect:
docs/ladder_calibration.md.
"""

ONE_PATH: Final = 2 * BIN_WIDTH
"""Range of ``ln|c|`` up to which a path factor is the same for all samples, so that level 2 is an identity. Effect:
docs/ladder.md (levels that cannot fail).
"""

TOLD: Final = 0.9
"""Share of the samples whose errors a composition of one number must tell to be the one that made them. Weights of
classes or smoothed targets change all errors of a class. Effect: docs/ladder.md (from one pass).
"""

RESAMPLED: Final = 400
"""Bootstrap samples of a distance: the 95% quantile of the noise is known to 3%. Effect: docs/ladder.md (calibration).
"""

LEAST_SHARE, LEAST_SAMPLES = 0.01, 30
"""Share and number of the samples whose errors, times the mean path factor, must lie on a window for that mean to stand
for the path factors of the window; else the mean of those whose products lie there does. Effect: docs/explained.md.
"""

LEAST_REACH: Final = 0.5
"""Share of a window's width, in ``ln|delta|``, that the middle 98% of the errors must reach over for an exponent to be
taken apart there. Errors of flights reach over all of their windows, those of sequences over a tenth, with exponents of
-20 to -100 that path factors take back. Effect: docs/ladder.md.
"""

SETTLED: Final = 0.01
"""Largest change of the exponent of uniform margins, as they reach further, with which it is one: a fifth of `MARGIN`.
Where a window reaches to the largest errors, which far margins share, it falls without end. Effect: docs/ladder.md.
"""

REACHES: Final = (1.0, 4.0, 16.0, 64.0, 256.0)
"""Parts of the margins' range by which uniform margins reach beyond it, until their exponent is settled: errors that
fall as the cube of the margin fall by seven decades in the last. Effect: docs/ladder.md.
"""

LOW_QUANTILE, HIGH_QUANTILE = 0.02, 0.5
"""Quantiles between which an exponent is taken where nothing was measured: above them fluctuations are those of wrong
predictions, below them there are few. Effect: docs/what_if.md.
"""

AIMED: Final = 0.005
"""Largest difference of the predicted exponent of a designed loss from the one that was wanted: a tenth of `MARGIN`,
and more than the bins of the sketches move it. Effect: docs/what_if.md (aimed designs).
"""

TAIL: Final = (0.001, 0.05)
"""Shares of the path factors at their small end, or at their large one, between which their tail is fitted.

Further in, a lognormal does not yet show how it falls; further out there are too few. Effect: docs/what_if.md (tail
theorem).
"""

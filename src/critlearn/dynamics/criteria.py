"""Every number that decides what the dynamics of a series are said to be.

Effect of each: docs/dynamics_measured.md.
"""

from typing import Final

TIME_BLOCKS: Final = 64
"""Contiguous stretches of time that a bootstrap resamples: their t quantile is within 2% of that of many."""

TAIL_SHARE: Final = 0.03
"""Share of the values in which a tail is looked for. Bodies of processes with power-law tails bend slowly into them:
with the upper tenth, two of ten exponents of Kesten's process are missed at alpha = 2.9; with 3%, none.
"""

QUANTILES: Final = (0.5, 0.75, 0.9, 0.99)
"""Quantiles of the activity at which its avalanches are compared, so that the effect of the threshold shows."""

MAIN_QUANTILE: Final = 0.75
"""Threshold of the avalanches that are judged, unless the activity rests at zero, which then is the threshold."""

RESTS: Final = 0.05
"""Share of time steps without any activity from which on zero is the threshold: avalanches are then apart already."""

FEWEST_STEPS: Final = 100
"""Steps below which no series is analysed: a tenth of them over the second highest threshold, and a few avalanches."""

STEPS_PER_THRESHOLD: Final = 25
"""Steps that each threshold needs: with fewer, neighbouring thresholds have the same values between them."""

BRANCHING_BLOCKS: Final = 50
"""Stretches of time that are resampled for the error of the branching ratio."""

REPLICATES: Final = 200
"""Replicates of a bootstrap, which give the ends of a 95% interval to a tenth of its width."""

LEAST_CORRELATION: Final = 0.1
"""Share of the first regression slope at which the fit of the branching ratio ends: noise is all there is below."""

NOISE: Final = 4.0
"""Standard errors of a correlation below which a regression slope counts as noise."""

NEAR_ONE: Final = 0.02
"""How far below 1 the branching ratio may be in a critical series: a relaxation time of 50 steps and more."""

RELATION_HOLDS: Final = 2.0
RELATION_FAILS: Final = 3.0
"""Standard errors of the difference within which the crackling-noise relation holds, and beyond which it fails."""

RELATION_RESOLVED: Final = 0.6
"""Standard error of the difference up to which the relation is judged, as a share of the distance of gamma from 1, that
of avalanches of a constant height: the two are then told apart with 95% (one-sided). With errors of several units
everything fulfils it. Critical branching has shares of 0.17 to 0.33 in a million steps and of 0.34 to 0.66 in 200,000,
where a bound of 0.4 would leave 2 of 10 series. The relation then holds in 2 of 60 series of branching with m from 0.9
to 0.99, with a bound of 0.5 in one: it is the branching ratio that tells these.
"""

GAMMA_RESOLVED: Final = 0.15
"""Error of gamma, as a share of its distance from 1, up to which mean sizes are one power of the duration. Those of
counts with a common rate bend by a quarter, those of branching by a twentieth.
"""

CONSTANT_HEIGHT: Final = 0.05
"""Distance of gamma from 1 up to which it is that of avalanches of a constant height, whose noise adds a little to it.
"""

SCALE_FREE_DECADES: Final = 1.5
"""Decades of sizes that a scale-free law needs: half a decade more than any fit."""

DURATION_DECADES: Final = 1.0
"""Decades of durations that a scale-free law needs: durations of critical avalanches grow as a root of their sizes."""

SOKAL_WINDOW: Final = 5.0
"""Autocorrelation times over which correlations are summed (Sokal's c): what is left out is exp(-5)."""

RESOLVED: Final = 50
"""Autocorrelation times that a series must last for its time to be known: to a quarter, with a window of five times."""

BANDWIDTH: Final = 0.65
"""Power of the number of steps that gives the number of frequencies of a spectral slope (local Whittle, Robinson)."""

STEEPEST_FITTED: Final = 1.2
"""Spectral slope above which a signal is fitted by its increments: beyond 1 its variance grows with time."""

FLATTEST_FITTED: Final = -0.6
"""Spectral slope below which a signal is fitted by its sum: from -1 on, the jump between the ends of the series has
more power at low frequencies than the signal, and slopes of -2 looked like -1.4.
"""

TREND_BLOCKS: Final = 32
TREND_LEVEL: Final = 0.001
"""Stretches of time whose mean ranks are tested for a trend (Kendall), and the level of the test: trainings that go on
have 1e-6 and less, and a series without a trend is to be left alone.
"""

SURROGATES: Final = 5
"""Signals with random phases whose avalanches are taken together: one has a twentieth of those of branching."""

SINGLE_DECAY: Final = 3.0
"""Ratio of the relaxation times at small and at large lags up to which a decay is that of one exponential. Branching
begun anew has up to 2; an oscillation, or a sum of scales, a multiple.
"""

SAME: Final = 2.0
"""Standard errors within which a surrogate has the same exponents as the series."""

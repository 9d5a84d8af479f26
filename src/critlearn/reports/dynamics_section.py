"""What pages say of a series over time: signs of criticality, observables beside surrogates, tails through training."""

from dataclasses import dataclass

from critlearn.dynamics import ActivityStatistics, AvalancheStatistics, Dynamics, MeanSize
from critlearn.dynamics.criteria import SURROGATES
from critlearn.errors import InvalidInputError
from critlearn.figures.illustration import Illustration
from critlearn.inference import PowerLawFit
from critlearn.monitoring import MonitorRecord
from critlearn.numerics.notation import estimate_text, interval_text

_SIGNS = {
    "sizes": "sizes of avalanches follow a power law without a cut-off over one and a half decades",
    "durations": "durations do over a decade",
    "relation": "the crackling-noise relation holds within two errors, which tell gamma from 1",
    "branching": "the interval of the branching ratio reaches 0.98",
    "stationary": "the activity has no trend, and lasts 50 of its autocorrelation times",
    "beyond surrogates": "shuffled, or with random phases, it has other exponents of sizes or of mean sizes",
}
"""What each sign means, in the order in which it is shown."""

_FOUND = {True: "yes", False: "no", None: "cannot tell"}


@dataclass(frozen=True)
class DynamicsSection:
    """Section on a series: what was found, and its tables and figures as text.

    Parameters
    ----------
    sheet
        What was measured.
    signs
        Meaning of each sign of criticality, and whether it is there.
    tails
        Tails of values and increments by name.
    rows
        Every observable, of the series and of two surrogates.
    thresholds
        Exponents at other thresholds.
    picture
        Avalanches and correlations beside the surrogates.
    signals
        Signals with random phases whose avalanches are taken together.
    """

    sheet: Dynamics
    signs: list[tuple[str, str]]
    tails: list[tuple[str, str]]
    rows: list[tuple[str, ...]]
    thresholds: list[tuple[str, ...]]
    picture: Illustration
    signals = SURROGATES


@dataclass(frozen=True)
class TrainingSection:
    """Section on a training that a monitor followed.

    Parameters
    ----------
    series
        What its series says over time; None where that cannot be told.
    reason
        Why not; empty otherwise.
    increments
        Exponents of the tails of increments through the training; None where none were counted.
    """

    series: DynamicsSection | None
    reason: str
    increments: Illustration | None

    @property
    def pictures(self) -> list[Illustration]:
        """Its figures."""
        series = [] if self.series is None else [self.series.picture]
        return [*series, *([] if self.increments is None else [self.increments])]


def dynamics_section(sheet: Dynamics) -> DynamicsSection:
    """Make the section on a series."""
    parts = (sheet.observed, sheet.shuffled, sheet.phase_randomised)
    columns = [_column(part) for part in parts]
    picture = Illustration(
        "dynamics",
        sheet.plot(),
        "Six panels: densities of sizes and of durations of avalanches and their mean sizes, for the series and two "
        "surrogates; mean shapes; spectra; exponents by the threshold",
        "Avalanches and correlations of the series beside its surrogates. Where the surrogates lie on the series, it "
        "says no more than they do; where exponents change with the threshold, they are those of the threshold.",
    )
    return DynamicsSection(
        sheet,
        signs=[(meaning, _FOUND[sheet.signs[name]]) for name, meaning in _SIGNS.items()],
        tails=[("values", _fit(sheet.values)), ("increments", _fit(sheet.increments))],
        rows=[(name, *(column[name] for column in columns)) for name in columns[0]],
        thresholds=[_threshold(row) for row in sheet.thresholds],
        picture=picture,
    )


def training_section(record: MonitorRecord) -> TrainingSection:
    """Make the section on a training: its series over time, and the tails of its increments by layer and period."""
    increments = None
    if record.increments:
        increments = Illustration(
            "dynamics-increments",
            record.plot_increments(),
            "Exponents of the tails of increments over the steps of training, a curve with its band for each layer",
            "Exponent of the tail of increments, in the largest 3% of each period, through the training: a curve for "
            "each layer. Bands are the statistical part of the 95% interval, by which periods are told apart; lines "
            "reach over all of it, with what a tail that bends adds. Marks are hollow where there are too few data, or "
            "less than a decade of them, for a law.",
        )
    try:
        return TrainingSection(dynamics_section(record.dynamics()), "", increments)
    except InvalidInputError as problem:
        return TrainingSection(None, str(problem), increments)


def _column(part: ActivityStatistics) -> dict[str, str]:
    """Every observable of one activity by its name, as text."""
    avalanches, time = part.avalanches, part.autocorrelation
    ratio = part.branching.ci95 and f"{part.branching.ratio:.3f} {interval_text(*part.branching.ci95, fewest=3)}"
    shapes = part.shapes
    return {
        "avalanches": f"{avalanches.count:,}",
        "sizes": _fit(avalanches.sizes),
        "durations": _fit(avalanches.durations),
        "waiting times": _fit(avalanches.waiting),
        "gamma, mean size of a duration": _gamma(avalanches.mean_size),
        "gamma, shapes": "none" if shapes.exponent is None else f"{shapes.exponent:.2f} ± {shapes.standard_error:.2f}",
        "crackling relation": _relation(avalanches),
        "branching ratio": ratio or "none",
        "spectral slope (bend)": f"{part.spectrum.slope:.2f} ({part.spectrum.bend:+.2f})",
        "autocorrelation time": f"{time.time:.3g} ± {time.standard_error:.2g}"
        + ("" if time.resolved else ", at least"),
    }


def _relation(row: AvalancheStatistics) -> str:
    """Difference of the two sides in errors."""
    known = row.relation
    return "none" if known is None or known.deviation is None else f"{known.deviation:+.1f} errors apart"


def _gamma(mean: MeanSize) -> str:
    return "none" if mean.exponent is None else f"{mean.exponent:.2f} ± {mean.total_error:.2f}"


def _threshold(row: AvalancheStatistics) -> tuple[str, ...]:
    """Row of the table of thresholds."""
    fits = (_fit(fit) for fit in (row.sizes, row.durations, row.waiting))
    return f"{row.quantile:g}", f"{row.threshold:.4g}", f"{row.count:,}", *fits, _gamma(row.mean_size)


def _fit(fit: PowerLawFit | None) -> str:
    """Exponent, interval and grade of a fit."""
    if fit is None:
        return "too few"
    if fit.exponent is None or fit.ci95_total is None or fit.decades is None:
        return str(fit.grade)
    return f"{estimate_text(fit.exponent, fit.ci95_total)} over {fit.decades:.1f} decades: {fit.grade}"

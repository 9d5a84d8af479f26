"""Page of a series over time: its signs of criticality, every observable beside the surrogates, and the figure."""

from pathlib import Path

from critlearn._version import __version__
from critlearn.dynamics import ActivityStatistics, AvalancheStatistics, Dynamics, MeanSize
from critlearn.figures.illustration import Illustration
from critlearn.inference import PowerLawFit
from critlearn.numerics.notation import interval_text
from critlearn.reports.page import render
from critlearn.whole_files import write_whole

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


def write_dynamics_page(sheet: Dynamics, path: Path, source: str = "a series") -> Path:
    """Write the page of a series: one HTML file that opens offline.

    Parameters
    ----------
    sheet
        What was measured.
    path
        File; one that is there is replaced.
    source
        Where the series is from, for the title.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    return write_whole(path, dynamics_page(sheet, source).encode())


def dynamics_page(sheet: Dynamics, source: str = "a series") -> str:
    """HTML of a series."""
    parts = (sheet.observed, sheet.shuffled, sheet.phase_randomised)
    columns = [_column(part) for part in parts]
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    picture = Illustration(
        "dynamics",
        sheet.plot(),
        "Six panels: densities of sizes and of durations of avalanches and their mean sizes, for the series and two "
        "surrogates; mean shapes; spectra; exponents by the threshold",
        "Avalanches and correlations of the series beside its surrogates. Where the surrogates lie on the series, it "
        "says no more than they do; where exponents change with the threshold, they are those of the threshold.",
    )
    return render(
        "dynamics.html",
        source=source,
        sheet=sheet,
        version=__version__,
        signs=[(meaning, _FOUND[sheet.signs[name]]) for name, meaning in _SIGNS.items()],
        tails=[("values", _fit(sheet.values)), ("increments", _fit(sheet.increments))],
        rows=rows,
        thresholds=[_threshold(row) for row in sheet.thresholds],
        picture=picture,
    )


def _column(part: ActivityStatistics) -> dict[str, str]:
    """Every observable of one activity by its name, as text."""
    avalanches, time = part.avalanches, part.autocorrelation
    ratio = part.branching.ci95 and f"{part.branching.ratio:.3f} {interval_text(*part.branching.ci95)}"
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
    return f"{fit.exponent:.2f} {interval_text(*fit.ci95_total)} over {fit.decades:.1f} decades: {fit.grade}"

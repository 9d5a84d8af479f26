"""Make the figures and tables of the note, of published histograms and of data sets that `powerlaw` ships.

python paper/make_figures.py FOLDER    # folder with the histograms, which are not part of critlearn; a minute
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from mixtures import exponential_scales, fitted_shares, gaussian_scales

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "validation"))

import powerlaw  # noqa: E402
from published_data_sets import PUBLISHED  # noqa: E402

from critlearn.figures.illustration import image  # noqa: E402
from critlearn.inference import Histogram, PowerLawFit, fit_power_law  # noqa: E402
from critlearn.whole_files import write_whole  # noqa: E402
from dynamics import RANGES, histograms, least_squares  # noqa: E402

FEWEST = 30
"""Values above a size from which on a share is compared: below, chance alone moves it by a fifth and more."""
COLOURS = {"power law": "#0072b2", "compatible": "#009e73", "power law with cut-off": "#56b4e9", "too few data": "#999"}


class Judged(NamedTuple):
    """A published histogram with what was fitted to it."""

    name: str
    centres: np.ndarray
    frequencies: np.ndarray
    histogram: Histogram
    fit: PowerLawFit
    above: np.ndarray
    """Share of the values above each inner edge."""
    mixture: np.ndarray
    """The same of a mixture of scales."""
    law: np.ndarray
    """The same of a power law from the second bin on."""
    compared: np.ndarray
    """Edges at which shares are compared."""

    def off(self, shares: np.ndarray) -> float:
        """Largest factor between fitted and published shares."""
        return float(np.exp(np.abs(np.log(shares / self.above))[self.compared].max()))


def judge(folder: Path) -> list[Judged]:
    """Fit all histograms."""
    judged = []
    for name, centres, frequencies, histogram in histograms(folder):
        edges = np.asarray(histogram.edges, dtype=float)
        counts = np.asarray(histogram.counts, dtype=float)
        scales = exponential_scales if name.startswith("interval") else gaussian_scales
        starts = [(edges[1] / part, width) for part in (2, 20) for width in (1.0, 2.0)]
        above = 1 - np.cumsum(counts)[:-1] / counts.sum()
        shares = fitted_shares(histogram, scales, starts)
        law = fitted_shares(histogram, lambda x, k: 1 - (x / x[0]) ** -k, [(2.0,)], first=1)
        compared = above * counts.sum() > FEWEST
        fit = fit_power_law(histogram)
        judged.append(Judged(name, centres, frequencies, histogram, fit, above, shares, law, compared))
    return judged


def memoryless(every: int, values: int, bins: int) -> float:
    """Slope of the line of least squares of waiting times without memory: expected counts on linear bins."""
    edges = np.linspace(0, every * np.log(values), bins + 1)
    counts = values * -np.diff(np.exp(-edges / every))
    return least_squares((edges[1:] + edges[:-1]) / 2, counts)


def local_slopes(judged: Judged) -> tuple[np.ndarray, np.ndarray]:
    """Sizes, and slopes of the density over a factor of two around each."""
    kept = judged.frequencies > 0
    x, y = np.log(judged.centres[kept]), np.log(judged.frequencies[kept])
    sizes, slopes = [], []
    for centre in np.arange(x[1], x[-1] - np.log(2), np.log(1.3)):
        near = np.abs(x - centre) < np.log(2)
        if near.sum() >= 3:
            sizes.append(np.exp(centre))
            slopes.append(-np.polyfit(x[near], y[near], 1)[0])
    return np.array(sizes), np.array(slopes)


def short(name: str) -> str:
    """Name of a histogram for a legend."""
    dropped = r"^(interval|update) | optimPureSGD| lr[\d.]+"
    return re.sub(r" +", " ", re.sub(dropped, "", name)).replace("charac ", "").strip()


def intervals_figure(judged: Sequence[Judged]) -> Figure:
    """Intervals: densities with lines of least squares, and the slope along each."""
    figure = Figure(figsize=(7.2, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for one in judged:
        kept = one.frequencies > 0
        (points,) = left.loglog(one.centres[kept], one.frequencies[kept], ".", markersize=3)
        slope, height = np.polyfit(np.log(one.centres[kept]), np.log(one.frequencies[kept]), 1)
        left.loglog(one.centres, np.exp(height) * one.centres**slope, color=points.get_color(), linewidth=0.8)
        right.semilogx(
            *local_slopes(one), color=points.get_color(), label=f"{short(one.name)}%".split(" steps")[0] + "%"
        )
    left.set(xlabel="interval [steps]", ylabel="relative frequency", title="Lines of least squares")
    right.set(xlabel="interval [steps]", ylabel="slope over a factor of four", title="The slope along the histogram")
    for axes in (left, right):
        axes.title.set_fontsize(9)
    right.legend(fontsize=7)
    return figure


def updates_figure(judged: Sequence[Judged]) -> Figure:
    """Updates: share above each size, with a mixture of scales and a power law."""
    figure = Figure(figsize=(7.2, 4), layout="constrained")
    axes = figure.subplots(2, 4).ravel()
    for panel, one in zip(axes, judged, strict=False):
        edges = np.asarray(one.histogram.edges, dtype=float)[1:-1]
        panel.loglog(edges[one.compared], one.above[one.compared], "k.", markersize=3, label="published")
        panel.loglog(edges[one.compared], one.mixture[one.compared], color="#d55e00", label="mixture of scales")
        panel.loglog(edges[one.compared], one.law[one.compared], "--", color="#0072b2", label="power law")
        panel.set_title(short(one.name), fontsize=7)
        panel.tick_params(labelsize=6)
        # Sizes span little more than a decade, so that labels between the powers of ten would lie on each other.
        panel.xaxis.set_minor_formatter(NullFormatter())
    axes[-1].axis("off")
    axes[-1].legend(*axes[0].get_legend_handles_labels(), loc="center", fontsize=8)
    figure.supxlabel("size of an update", fontsize=9)
    figure.supylabel("share above", fontsize=9)
    return figure


def judge_figure(fits: dict[str, PowerLawFit]) -> Figure:
    """Data sets of Clauset, Shalizi and Newman: published exponents and those found here."""
    figure = Figure(figsize=(5.2, 2.8), layout="constrained")
    axes = figure.subplots()
    for row, (name, fit) in enumerate(fits.items()):
        law = PUBLISHED[name]
        axes.errorbar(law.exponent, row + 0.15, xerr=law.exponent_error, fmt="kD", markersize=4, capsize=2)
        colour = COLOURS.get(str(fit.grade), "#d55e00")
        if fit.ci95_total is not None:
            axes.plot(fit.ci95_total, (row - 0.15, row - 0.15), color=colour)
        axes.plot(fit.exponent, row - 0.15, "o", color=colour, markersize=5)
        axes.annotate(str(fit.grade), (3.35, row - 0.15), fontsize=7, va="center", color=colour)
    axes.set(xlabel="exponent", xlim=(0.9, 4.4), yticks=range(len(fits)), yticklabels=fits)
    axes.invert_yaxis()
    return figure


def histogram_table(judged: Sequence[Judged]) -> str:
    """Rows of all histograms."""
    lines = [
        "| histogram | line | along it | likelihood | decades | grade | mixture off by | power law off by |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in judged:
        along = [least_squares(one.centres[part], one.frequencies[part]) for part in RANGES]
        low, high = one.fit.ci95_total or (np.nan, np.nan)
        cells = (
            one.name.replace(" optimPureSGD", ""),
            f"{least_squares(one.centres, one.frequencies):.2f}",
            f"{min(along):.1f} to {max(along):.1f}",
            f"{one.fit.exponent:.2f} [{low:.2f}, {high:.2f}]",
            f"{one.fit.decades or 0:.1f}",
            str(one.fit.grade),
            f"{one.off(one.mixture):.1f}",
            f"{one.off(one.law):.1f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    nearer = sum(one.off(one.mixture) < one.off(one.law) for one in judged)
    lines += ["", f"The mixture is nearer in {nearer} of {len(judged)}."]
    slopes = [memoryless(200, values, 100) for values in (10**4, 10**6, 10**8)]
    lines.append(
        "Steps without any memory, one of 200 large, on 100 linear bins: the line of least squares has "
        f"{slopes[0]:.2f}, {slopes[1]:.2f} and {slopes[2]:.2f} of ten thousand, a million and a hundred million values."
    )
    return "\n".join(lines)


def main() -> None:
    """Write figures, and tables between their marks in the note."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="Folder of the published histograms.")
    judged = judge(parser.parse_args().folder)
    intervals = [one for one in judged if one.name.startswith("interval")]
    updates = [one for one in judged if one.name.startswith("update")]
    fits = {name: fit_power_law(powerlaw.load_test_dataset(name)) for name in PUBLISHED}
    figures = {
        "intervals": intervals_figure(intervals),
        "updates": updates_figure(updates),
        "judge": judge_figure(fits),
    }
    for name, figure in figures.items():
        write_whole(HERE / f"{name}.svg", image(figure, "svg"))
    note = (HERE / "paper.md").read_text(encoding="utf-8")
    begin, end = "<!-- histograms: begin -->\n", "\n<!-- histograms: end -->"
    before, _, rest = note.partition(begin)
    table = histogram_table(judged)
    write_whole(HERE / "paper.md", (before + begin + table + end + rest.partition(end)[2]).encode())
    print(table)


if __name__ == "__main__":
    main()

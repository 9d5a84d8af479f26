"""``critlearn fit``: fit and test a power law on numbers from a file or standard input."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from critlearn.cli import fit_options as given
from critlearn.cli.terminal import print_json, say
from critlearn.errors import InvalidInputError
from critlearn.whole_files import replacing

if TYPE_CHECKING:
    import numpy as np

    from critlearn.inference import PowerLawFit
    from critlearn.inference.plots import PlotKind

INTEGERS_HINT: Final = {
    True: "the values are integers, and so is the law: --continuous fits one on real numbers",
    False: "the values are integers, large ones, and the law is one on real numbers: --discrete fits one on integers",
}
"""By whether a law on integers was fitted."""


def fit(
    file: given.File,
    column: given.Column = None,
    window: given.Ends = None,
    xmin: given.LowerEnd = None,
    side: given.Side = "both",
    sign: given.Sign = None,
    discrete: given.Discrete = None,
    bootstrap: given.Bootstrap = 0,
    cluster: given.Cluster = None,
    block: given.Block = None,
    weights: given.Weights = None,
    omit_nan: given.OmitNan = False,
    tolerance: given.Tolerance = None,
    seed: given.Seed = 0,
    plot: given.Plot = None,
    plot_kind: given.PlotKind = None,
    json: given.Json = False,
) -> None:
    """Fit a power law p(delta) ~ delta^-k on a bounded window, and say whether it is one."""
    from critlearn.cli.columns import choose_column, read_columns
    from critlearn.cli.plot_file import check_plot

    check_plot(plot)
    kinds = _kinds(plot_kind, plot)
    ends = _ends(window, xmin)
    criteria = _criteria(tolerance, bootstrap, searched=ends is None)
    columns = read_columns(file)
    values = choose_column(columns, column, file)
    options = {"sign": sign, "cluster": _labels(columns, cluster), "block": block}
    options["weights"] = None if weights is None else choose_column(columns, weights, file)
    options["nan"] = "omit" if omit_nan else "refuse"
    options |= {"window": ends, "side": side, "discrete": discrete, "criteria": criteria, "seed": seed}
    result = _fitted(values, options, shown=bootstrap > 0 and not json)
    if plot is not None:
        _save(result, plot, column or "δ", kinds)
    if json:
        from critlearn.results import plain

        print_json(plain(result.to_dict()))
    else:
        from critlearn.cli.fit_text import fit_text

        hints = [INTEGERS_HINT[result.discrete]] if discrete is None and result.integers else []
        say(fit_text(result, hints, plot))


def _ends(window: str | None, xmin: float | None) -> tuple[float, float] | None:
    """Ends of the window from ``lo,hi`` or from its lower end alone; the upper one may be infinite."""
    if window is not None and xmin is not None:
        raise InvalidInputError("--xmin is --window with inf as its upper end: give one of them")
    if xmin is not None:
        if not 0 < xmin < math.inf:
            raise InvalidInputError(f"--xmin takes a number above 0; got {xmin:g}")
        return xmin, math.inf
    return None if window is None else ends_of(window)


def ends_of(window: str) -> tuple[float, float]:
    """Ends of a window that is given as ``lo,hi``; the upper one may be infinite."""
    try:
        low, high = (float(part) for part in window.split(","))
    except ValueError:
        low = high = math.nan
    if not 0 < low < high or low == math.inf:
        raise InvalidInputError(f'--window takes two numbers 0 < lo < hi as lo,hi; got "{window}"')
    return low, high


def _criteria(tolerance: float | None, bootstrap: int, *, searched: bool) -> Any:
    """Criteria of the fit; where the window was not given the replicates repeat the search for it."""
    from critlearn.inference import Criteria
    from critlearn.inference.criteria import REPLICATES, TOLERANCE

    if bootstrap != 0 and bootstrap < 10:
        raise InvalidInputError(f"--bootstrap needs at least 10 replicates, or 0; got {bootstrap}")
    chosen = TOLERANCE if tolerance is None else tolerance
    return Criteria(chosen, bootstrap or REPLICATES, bootstrap if searched else 0)


def _fitted(values: "np.ndarray", options: dict[str, Any], *, shown: bool) -> "PowerLawFit":
    """The fit; what is refused is said in options of the command."""
    from critlearn.inference import fit_power_law

    with _progress(shown=shown) as progress:
        try:
            return fit_power_law(values, progress=progress, **options)
        except InvalidInputError as problem:
            raise InvalidInputError(_in_flags(str(problem))) from None


def _in_flags(message: str) -> str:
    """Message in which options of the library are those of the command.

    >>> _in_flags('choose sign="absolute"; nan="omit" leaves them out')
    'choose --sign absolute; --omit-nan leaves them out'
    """
    for words, flags in (('nan="omit"', "--omit-nan"), ("clusters or a block length", "--cluster or --block")):
        message = message.replace(words, flags)
    message = message.replace("discrete=True", "--discrete").replace("discrete=False", "--continuous")
    return re.sub(r'(\w+)="(\w+)"', r"--\1 \2", message)


def _labels(columns: Mapping[str, Any], name: str | None) -> Any:
    """Labels of clusters, of any type."""
    from critlearn.errors import unknown_name

    if name is None:
        return None
    if name not in columns:
        raise unknown_name("column", name, columns)
    return columns[name].astype(str) if columns[name].dtype == object else columns[name]


def _kinds(chosen: str | None, plot: Path | None) -> "tuple[PlotKind, ...]":
    """Pictures that are drawn, one above the other."""
    from critlearn.errors import unknown_name
    from critlearn.inference.plots import PlotKind

    if chosen is None:
        return "density", "local"
    if plot is None:
        raise InvalidInputError("--plot-kind says what --plot FILE draws: give both")
    found = tuple(kind for kind in get_args(PlotKind) if chosen in (kind, "all"))
    if not found:
        raise unknown_name("kind of plot", chosen, [*get_args(PlotKind), "all"])
    return found


def _save(result: "PowerLawFit", plot: Path, name: str, kinds: "Sequence[PlotKind]") -> None:
    """Draw the fit and write the file as a whole."""
    from critlearn.reports.fit_figure import fit_figure

    figure = fit_figure(result, name, kinds)
    with replacing(plot) as temporary:
        figure.savefig(temporary, format=plot.suffix[1:])


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Progress bar of the replicates in a terminal; None elsewhere."""
    import sys

    if not (shown and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("bootstrap"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("bootstrap", total=None)
        yield lambda done, replicates: bar.update(task, completed=done, total=replicates)

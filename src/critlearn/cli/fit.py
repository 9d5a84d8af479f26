"""``critlearn fit``: fit and test a power law on numbers from a file or standard input."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from critlearn.errors import InvalidInputError
from critlearn.whole_files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from critlearn.inference import PowerLawFit
    from critlearn.numerics.window import Window


def fit(
    file: Annotated[str, typer.Argument(help="A .csv, .npy, .npz or .parquet file, or - for standard input.")],
    column: Annotated[str | None, typer.Option(help="Column, or array, to fit.", show_default="the only one")] = None,
    window: Annotated[
        str | None, typer.Option(help="Ends of the window: lo,hi.", show_default="searched for", metavar="LO,HI")
    ] = None,
    side: Annotated[
        str, typer.Option(help="both cut-offs, or one only: large (a tail to infinity) or small (down to zero).")
    ] = "both",
    sign: Annotated[
        str | None, typer.Option(help="Of numbers with a sign: absolute, positive or negative.", show_default="none")
    ] = None,
    discrete: Annotated[bool, typer.Option("--discrete", help="Fit a law on integers.")] = False,
    bootstrap: Annotated[
        int,
        typer.Option(
            help="Replicates of the p-value. Where the window is searched for, each repeats the search; with --window "
            "each is a sample on that window. 0: 400 replicates on the window that was found or given, no search."
        ),
    ] = 0,
    cluster: Annotated[
        str | None, typer.Option(help="Column of labels of dependent values.", show_default="none")
    ] = None,
    block: Annotated[
        int | None, typer.Option(help="Length of blocks of dependent neighbours.", show_default="none")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Column of weights.", show_default="none")] = None,
    omit_nan: Annotated[bool, typer.Option("--omit-nan", help="Leave out NaN and infinite values.")] = False,
    tolerance: Annotated[
        float | None, typer.Option(help="Difference of exponents that counts as none.", show_default="0.05")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed; the same one repeats a fit.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Draw the fit: a .svg, .pdf or .png file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Fit a power law p(delta) ~ delta^-k on a bounded window, and say whether it is one."""
    from critlearn.cli.columns import choose_column, read_columns
    from critlearn.cli.plot_file import check_plot
    from critlearn.inference import Criteria, fit_power_law
    from critlearn.inference.criteria import REPLICATES, TOLERANCE

    check_plot(plot)
    if bootstrap != 0 and bootstrap < 10:
        raise InvalidInputError(f"--bootstrap needs at least 10 replicates, or 0; got {bootstrap}")
    columns = read_columns(file)
    values = choose_column(columns, column, file)
    options: dict[str, Any] = {
        "window": _window(window),
        "discrete": discrete,
        "side": side,
        "cluster": _labels(columns, cluster),
        "criteria": Criteria(
            TOLERANCE if tolerance is None else tolerance, bootstrap or REPLICATES, 0 if window else bootstrap
        ),
        "seed": seed,
    }
    if discrete:
        _refuse({"--sign": sign, "--block": block, "--weights": weights, "--omit-nan": omit_nan or None})
    else:
        options |= {
            "sign": sign,
            "block": block,
            "weights": None if weights is None else choose_column(columns, weights, file),
            "nan": "omit" if omit_nan else "refuse",
        }
    with _progress(shown=bootstrap > 0 and not json) as progress:
        try:
            result = fit_power_law(values, progress=progress, **options)
        except InvalidInputError as problem:
            raise InvalidInputError(_in_flags(str(problem))) from None
    if plot is not None:
        from critlearn.reports.fit_figure import fit_figure

        _save(fit_figure(result, column or "δ"), plot)
    if json:
        from critlearn.cli.display import print_json
        from critlearn.results import plain

        print_json(plain(result.to_dict()))
    else:
        _print(result, plot)


def _window(text: str | None) -> "Window | None":
    """Window from ``lo,hi``."""
    from critlearn.numerics.window import Window

    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
        return Window(low, high)
    except ValueError:
        raise InvalidInputError(f'--window takes two numbers 0 < lo < hi as lo,hi; got "{text}"') from None


def _in_flags(message: str) -> str:
    """Message in which options of the library are those of the command.

    >>> _in_flags('choose sign="absolute"; nan="omit" leaves them out')
    'choose --sign absolute; --omit-nan leaves them out'
    """
    for words, flags in (('nan="omit"', "--omit-nan"), ("clusters or a block length", "--cluster or --block")):
        message = message.replace(words, flags)
    return re.sub(r'(\w+)="(\w+)"', r"--\1 \2", message)


def _labels(columns: Any, name: str | None) -> Any:
    """Labels of clusters, of any type."""
    from critlearn.errors import unknown_name

    if name is None:
        return None
    if name not in columns:
        raise unknown_name("column", name, columns)
    return columns[name].astype(str) if columns[name].dtype == object else columns[name]


def _refuse(options: dict[str, Any]) -> None:
    """Raise if an option is used that means nothing for integers."""
    used = [name for name, value in options.items() if value is not None]
    if used:
        raise InvalidInputError(f"{' and '.join(used)} cannot be combined with --discrete")


def _save(figure: "Figure", plot: Path) -> None:
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


def _print(result: "PowerLawFit", plot: Path | None) -> None:
    """One screen: the sentence, the numbers behind it, the alternatives."""
    lines = [result.summary()]
    if result.window is not None and result.standard_error is not None and result.naive_standard_error is not None:
        repeated = "search repeated" if result.selection_repeated else "window as it is"
        lines += [
            f"window       {result.window.summary()}, {result.n} of {result.count} values ({result.retained:.1%} kept)",
            f"error        {result.standard_error:.3g} (naive {result.naive_standard_error:.3g}, "
            f"selection {result.selection_error or 0.0:.2g}; "
            f"{result.effective_n:.0f} effective values)",
            f"KS           {result.ks:.3g}, p = {result.p_value:.3g} +- {result.p_value_error:.2g} ({repeated})",
        ]
    for name, choice in (("equivalence", result.equivalence), ("significance", result.significance)):
        if choice is not None:
            where = f"k = {choice.exponent:.3f} +- {choice.standard_error:.2g} on {choice.window.summary()}"
            lines.append(f"{name:<12} {where}")
    left = {"exact zeros": result.zeros, "NaN or infinite": result.omitted, "below the floor": result.below_floor}
    if any(left.values()):
        lines.append("left out     " + ", ".join(f"{count} {name}" for name, count in left.items() if count))
    for item in result.alternatives:
        p_value = "" if item.p_value is None else f", p = {item.p_value:.2g}"
        test = f"{item.test} {item.statistic:+.2f}{p_value}"
        lines.append(f"{item.name:<24} {test:<40} AIC gain {item.aic_gain:+.1f}  {item.preferred}")
    if result.rival is not None:
        name = f"{result.rival.name} of all values"
        lines.append(f"{name:<65} BIC gain {result.rival.bic_gain:+.1f}  on the window")
    if plot is not None:
        lines.append(f"plot         {plot}")
    typer.echo("\n".join(lines))

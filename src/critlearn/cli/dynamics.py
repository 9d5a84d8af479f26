"""Command ``critlearn dynamics``: what a series over time says."""

from pathlib import Path
from typing import Annotated

import typer

from critlearn.cli.terminal import print_json, say


def dynamics(
    series: Annotated[
        list[str],
        typer.Argument(
            help="A .npy file of shape (time,) or (time, variable), or a table (.csv, .txt, .parquet) whose columns "
            "are variables; the record of a monitor; or checkpoints .safetensors of one network, one for each time, in "
            "any order; the numbers in their paths are the times.",
            metavar="SERIES...",
        ),
    ],
    activity: Annotated[
        str,
        typer.Option(
            help="What avalanches are of: increments (their root mean square over the variables, for the state of a "
            "system), or values (their sum, for activities such as counts of events)."
        ),
    ] = "increments",
    quantile: Annotated[
        float | None,
        typer.Option(
            help="Quantile of the activity that is the threshold of the avalanches judged.",
            show_default="0 where the activity rests, else 0.75",
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            help="Column with the times; others with such names are no variables either.",
            show_default="step, iteration, epoch, time, index or the like, where there is one",
        ),
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Pattern of the names of columns or tensors, such as 'layers.3.*'.")
    ] = None,
    variables: Annotated[int, typer.Option(help="Entries of checkpoints that are kept, drawn at random.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of surrogates, replicates and drawn entries.", min=0)] = 0,
    plot: Annotated[Path | None, typer.Option(help="Draw the sheet: a .svg, .pdf or .png file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with tables and the figure: an .html file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the sheet as JSON into this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Measure tails, avalanches and correlations of a series over time, beside its surrogates."""
    import json

    from critlearn.cli.plot_file import check_plot
    from critlearn.cli.series_files import read_series
    from critlearn.dynamics import analyze_series
    from critlearn.errors import OutputError
    from critlearn.whole_files import replacing, write_whole

    check_plot(plot)
    for file in (report, out):
        if file is not None and not file.parent.is_dir():
            raise OutputError(f'there is no folder "{file.parent}"')
    read = read_series(series, only=only, time=time, variables=variables, seed=seed)
    # Another word than the two is refused by name there.
    found = analyze_series(
        read.series,
        activity=activity,  # type: ignore[arg-type]
        times=read.times,
        quantile=quantile,
        seed=seed,
    )
    values = {"series": read.source, **found.to_dict()}
    if plot is not None:
        with replacing(plot) as temporary:
            found.plot().savefig(temporary, format=plot.suffix[1:])
    if report is not None:
        from critlearn.reports.page import dynamics_page

        write_whole(report, dynamics_page(found, read.source).encode())
    if out is not None:
        write_whole(out, json.dumps(values, allow_nan=False).encode())
    if as_json:
        print_json(values)
        return
    say(f"{read.source}\n{found.summary()}")
    for written in (plot, report, out):
        if written is not None:
            say(str(written))

"""Command ``critlearn report``: the page of a run, or of many runs, made again from stored numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from critlearn.cli.terminal import say
from critlearn.errors import InvalidInputError

if TYPE_CHECKING:
    from critlearn.figures.illustration import Illustration


def report(
    place: Annotated[
        str, typer.Argument(help="Folder of a run or of many, or URL of a store.", metavar="PLACE", show_default=False)
    ],
    figures: Annotated[
        Path | None, typer.Option(help="Write the figures into this folder, with their numbers as CSV.")
    ] = None,
    formats: Annotated[str, typer.Option("--format", help="Formats of the figures.")] = "svg,pdf,png",
    columns: Annotated[
        int | None, typer.Option(help="Figures for a paper, as wide as so many of its columns: 1 or 2.")
    ] = None,
) -> None:
    """Make report.html again from stored numbers, and export its figures; of a URL in the folder where one is."""
    from critlearn.analysis.run_folder import RECORD, read_run
    from critlearn.figures.illustration import checked_formats
    from critlearn.monitoring.storage import read_monitor
    from critlearn.reports.page import illustrations, write_report
    from critlearn.reports.study_page import study_illustrations, write_study_report
    from critlearn.studies.runs.methods import read_methods
    from critlearn.studies.runs.table import runs_table
    from critlearn.studies.sweep.results.table import load_results

    forms = checked_formats(formats.split(","))
    if columns is not None and figures is None:
        raise InvalidInputError("--columns is of the figures that --figures FOLDER writes")
    remote = "://" in place
    folder = Path() if remote else Path(place)
    if not remote and (folder / RECORD).is_file():
        if figures is not None:
            drawn = illustrations(*read_run(folder), read_monitor(folder))
            _save([item for pair in drawn.values() for item in pair], figures, forms, columns)
        say(str(write_report(folder)))
        return
    table = load_results(place) if remote else runs_table(folder)
    if figures is not None:
        _save(study_illustrations(table), figures, forms, columns)
    name = place.rstrip("/").rpartition("/")[2] if remote else folder.resolve().name
    say(str(write_study_report(table, name, folder, read_methods(place))))


def _save(shown: "list[Illustration]", figures: Path, forms: list[str], columns: int | None) -> None:
    from critlearn.figures.paper import for_paper

    for item in shown:
        if columns is not None:
            for_paper(item.figure, columns)
        item.save(figures, forms)
    if not shown:
        say("critlearn: no figure compares these runs: nothing is written for --figures", err=True)

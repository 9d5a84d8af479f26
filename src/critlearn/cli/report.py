"""Command ``critlearn report``: the page of a run, or of many runs, made again from stored numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from critlearn.reports.illustration import Illustration


def report(
    place: Annotated[
        str, typer.Argument(help="Folder of a run or of many, or URL of a store.", metavar="PLACE", show_default=False)
    ],
    figures: Annotated[
        Path | None, typer.Option(help="Write the figures into this folder, with their numbers as CSV.")
    ] = None,
    formats: Annotated[str, typer.Option("--format", help="Formats of the figures.")] = "svg,pdf,png",
) -> None:
    """Make report.html again from stored numbers, and export its figures; of a URL in the folder where one is."""
    from critlearn.reports.page import illustrations, write_report
    from critlearn.reports.study_page import study_illustrations, write_study_report
    from critlearn.studies.results_table import load_results
    from critlearn.studies.runs_table import runs_table
    from critlearn.studies.store import RECORD, read_run

    remote = "://" in place
    folder = Path() if remote else Path(place)
    if not remote and (folder / RECORD).is_file():
        if figures is not None:
            _save([item for pair in illustrations(*read_run(folder)).values() for item in pair], figures, formats)
        typer.echo(str(write_report(folder)))
        return
    table = load_results(place) if remote else runs_table(folder)
    if figures is not None:
        _save(study_illustrations(table), figures, formats)
    typer.echo(str(write_study_report(table, place.rstrip("/").rpartition("/")[2] or folder.resolve().name, folder)))


def _save(shown: "list[Illustration]", figures: Path, formats: str) -> None:
    for item in shown:
        item.save(figures, [form.strip() for form in formats.split(",")])

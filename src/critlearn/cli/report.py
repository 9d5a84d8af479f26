"""Command ``critlearn report``: the page of a run, or of many runs, made again from stored numbers."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, or of many runs.", show_default=False)],
    figures: Annotated[
        Path | None, typer.Option(help="Write the figures into this folder, with their numbers as CSV.")
    ] = None,
    formats: Annotated[str, typer.Option("--format", help="Formats of the figures.")] = "svg,pdf,png",
) -> None:
    """Make report.html again from stored numbers, and export its figures."""
    from critlearn.reports.page import illustrations, write_report
    from critlearn.reports.study_page import study_illustrations, write_study_report
    from critlearn.studies.store import RECORD, read_run

    single = (folder / RECORD).is_file()
    if figures is not None:
        if single:
            shown = [item for pair in illustrations(*read_run(folder)).values() for item in pair]
        else:
            shown = study_illustrations(folder)
        for item in shown:
            item.save(figures, [form.strip() for form in formats.split(",")])
    typer.echo(str(write_report(folder) if single else write_study_report(folder)))

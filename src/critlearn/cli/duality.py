"""Command ``critlearn duality``: the duality map of a stored run, its dimension and its leading directions."""

from pathlib import Path
from typing import Annotated

import typer


def duality(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    samples: Annotated[int, typer.Option(help="Samples whose Jacobians are taken.")] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="Print the study as one JSON object.")] = False,
) -> None:
    """Study the duality map of a run, before and after training; adds a section to its report."""
    from rich.console import Console
    from rich.table import Table

    from critlearn.cli.display import print_json
    from critlearn.reports.duality_page import duality_row
    from critlearn.reports.page import report_page
    from critlearn.studies.runs.duality import study_duality, write_duality

    study = study_duality(run, samples=samples)
    write_duality(run, study, report_page)
    if as_json:
        print_json(study)
        return
    table = Table(box=None, pad_edge=False)
    headings = (
        "network",
        "Jacobian",
        "rank (samples)",
        "effective dimension",
        "along the data",
        "log-volume",
        "overlap",
    )
    for heading in headings:
        table.add_column(heading)
    for name, state in study["states"].items():
        table.add_row(*duality_row(name, state).values())
    console = Console(highlight=False, markup=False, width=110)
    console.print(f"duality map of {study['composition']}, {study['states']['trained']['samples']} samples")
    console.print(table)
    console.print(f"report: {run / 'report.html'}", soft_wrap=True)

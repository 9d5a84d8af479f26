"""Command ``critlearn duality``: the duality map of a stored run, its dimension and its leading directions."""

from pathlib import Path
from typing import Annotated

import typer

from critlearn.cli.terminal import draw, print_json, say

Trust = Annotated[
    bool, typer.Option("--trust", help="Run code (module:name), fetch data (openml:NAME) that the record names.")
]


def duality(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    samples: Annotated[int, typer.Option(help="Samples whose Jacobians are taken.")] = 256,
    trust: Trust = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the study as one JSON object.")] = False,
) -> None:
    """Study the duality map of a run, before and after training; adds a section to its report."""
    from rich.table import Table

    from critlearn.reports.duality_page import duality_note, duality_row
    from critlearn.reports.page import report_page
    from critlearn.studies.runs.duality import study_duality, write_duality

    study = study_duality(run, samples=samples, trust=trust)
    write_duality(run, study, report_page)
    if as_json:
        print_json(study)
        return
    table = Table(box=None, pad_edge=False)
    rows = [duality_row(name, state) for name, state in study["states"].items()]
    headings = {
        "shape": "Jacobian",
        "ranks": "rank (samples)",
        "participation": "effective dimension",
        "along_ranks": "along the data: rank (samples)",
        "along": "along the data: effective dimension",
        "volume": "log-volume",
        "overlap": "overlap",
    }
    # One column for each state, because ranks of many samples are long.
    table.add_column("network")
    for row in rows:
        table.add_column(row["name"])
    for key, heading in headings.items():
        table.add_row(heading, *(row[key] for row in rows))
    say(f"duality map of {study['composition']}, {study['states']['trained']['samples']} samples")
    draw(table, width=110)
    note = duality_note(study["states"])
    if note:
        say(note)
    say(f"report: {run / 'report.html'}")

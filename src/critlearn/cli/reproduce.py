"""Command ``critlearn reproduce``: the paper's experiments."""

from pathlib import Path
from typing import Annotated

import typer

from critlearn.cli.terminal import say


def reproduce(
    quick: Annotated[bool, typer.Option("--quick", help="Less data, smaller networks, one seed.")] = False,
    store: Annotated[
        str | None, typer.Option(help="Folder or fsspec URL of the results.", show_default="reproduction")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Cells at once, on one thread each.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the page.")] = Path("."),
) -> None:
    """Run the paper's experiments, go on where they were stopped, and write reproduction.md with its figures."""
    from functools import partial

    from critlearn.cli.display import print_state
    from critlearn.reports.reproduction import write_reproduction
    from critlearn.studies.sweep.engines.local import run_locally
    from critlearn.studies.sweep.run import sweep
    from critlearn.studies.sweep.state import sweep_state
    from critlearn.studies.sweep.study.cells import cell_label
    from critlearn.studies.sweep.study.reading import load_studies
    from critlearn.studies.sweep.study.schema import shipped_file
    from critlearn.whole_files import check_writable

    check_writable(out)
    studies = load_studies(shipped_file("paper-quick" if quick else "paper"))
    location = store or ("reproduction-quick" if quick else "reproduction")
    for study in studies:
        for cell, reason in sweep(study, location, partial(run_locally, processes=processes)):
            say(f"{cell_label(study, cell)}: {reason or 'finished'} ({cell.name})", err=True)
    state = sweep_state(studies, location)
    if not state.complete:
        print_state(state, as_json=False)
        raise typer.Exit(1)
    command = f"critlearn reproduce{' --quick' if quick else ''}"
    say(str(write_reproduction(studies, location, out, command)))

"""Command ``critlearn reproduce``: the experiments that come with critlearn."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from critlearn.cli.terminal import say


class Experiments(StrEnum):
    """Experiments that come with critlearn."""

    PAPER = "paper"
    ATLAS = "atlas"


def reproduce(
    what: Annotated[
        Experiments, typer.Argument(help="The paper's experiments, or the atlas of seven families of networks.")
    ] = Experiments.PAPER,
    quick: Annotated[bool, typer.Option("--quick", help="Less data, smaller networks, one seed.")] = False,
    store: Annotated[
        str | None, typer.Option(help="Folder or fsspec URL of the results.", show_default="reproduction, or atlas")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Cells at once, on one thread each.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the page.")] = Path("."),
) -> None:
    """Run experiments, go on where they were stopped, and write reproduction.md or atlas.md with their figures."""
    from functools import partial

    from critlearn.cli.display import print_state
    from critlearn.reports.experiments.atlas import write_atlas
    from critlearn.reports.experiments.reproduction import write_reproduction
    from critlearn.studies.sweep.engines.local import run_locally
    from critlearn.studies.sweep.run import sweep
    from critlearn.studies.sweep.state import sweep_state
    from critlearn.studies.sweep.study.cells import cell_label
    from critlearn.studies.sweep.study.reading import load_studies
    from critlearn.studies.sweep.study.schema import shipped_file
    from critlearn.whole_files import check_writable

    check_writable(out)
    size = "-quick" if quick else ""
    studies = load_studies(shipped_file(f"{what.value}{size}"))
    name, write = ("atlas", write_atlas) if what is Experiments.ATLAS else ("reproduction", write_reproduction)
    location = store or f"{name}{size}"
    for study in studies:
        for cell, reason in sweep(study, location, partial(run_locally, processes=processes)):
            say(f"{cell_label(study, cell)}: {reason or 'finished'} ({cell.name})", err=True)
    state = sweep_state(studies, location)
    if not state.complete:
        print_state(state, as_json=False)
        raise typer.Exit(1)
    command = "critlearn reproduce" + (" atlas" if what is Experiments.ATLAS else "") + (" --quick" if quick else "")
    say(str(write(studies, location, out, command)))

"""Command ``critlearn sweep``: run what is missing of a study."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class EngineName(StrEnum):
    """Where cells are run."""

    LOCAL = "local"


def sweep(
    study: Annotated[Path, typer.Argument(help="Study file (YAML).")],
    store: Annotated[str, typer.Option(help="Folder or fsspec URL of the results.")] = "results",
    engine: Annotated[EngineName, typer.Option(help="Where cells are run.")] = EngineName.LOCAL,
    processes: Annotated[int, typer.Option(min=1, help="Cells at once, on one thread each.")] = 1,
    memory: Annotated[float | None, typer.Option(min=0.1, help="GiB that a process may hold.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and estimate the time.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Run the cells of a study that the store does not hold yet; exit 0 when every cell is finished."""
    from functools import partial

    from critlearn.cli import display
    from critlearn.studies.cells import expand
    from critlearn.studies.local_engine import run_locally
    from critlearn.studies.study_file import load_studies
    from critlearn.studies.sweep import sweep as run_sweep
    from critlearn.studies.sweep import sweep_state

    declared = load_studies(study)
    if dry_run:
        from critlearn.studies.estimate import estimate

        plan = estimate(declared, store, processes)
        if json:
            display.print_json(plan)
        else:
            for cell in (cell for one in declared for cell in expand(one)):
                typer.echo(f"{cell.name}  {cell.kind}  {cell.settings}")
            typer.echo(f"{plan['cells']} cells, {plan['due']} to run; {plan['estimate']}")
        return
    bound = None if memory is None else int(memory * 2**30)
    runner = partial(run_locally, processes=processes, memory=bound)
    # A mistake in any of them is told before the first is begun.
    for one in declared:
        expand(one)
    done = (finished for one in declared for finished in run_sweep(one, store, runner))
    for number, (cell, reason) in enumerate(done, 1):
        typer.echo(f"{number}: {cell.name} {reason or 'finished'}", err=True)
    state = sweep_state(declared, store)
    if state.other_code:
        typer.echo(f"critlearn: {len(state.other_code)} cells were computed by another version of the code", err=True)
    if json:
        display.print_json(state.to_dict())
    else:
        counts = state.to_dict()
        typer.echo(", ".join(f"{counts[name]} {name}" for name in ("finished", "failed", "corrupt", "missing")))
    if not state.complete:
        raise typer.Exit(1)

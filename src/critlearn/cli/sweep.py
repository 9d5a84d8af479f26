"""Command ``critlearn sweep``: run what is missing of a study."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from critlearn.cli.terminal import print_json, say

if TYPE_CHECKING:
    from critlearn.studies.sweep.run import Engine
    from critlearn.studies.sweep.study.schema import Study


class EngineName(StrEnum):
    """Where cells are run."""

    LOCAL = "local"
    RAY = "ray"


def _show_schema(wanted: bool) -> bool:
    """Print the schema and stop."""
    if wanted:
        from json import dumps

        from critlearn.studies.sweep.study.schema import study_schema

        say(dumps(study_schema(), indent=1))
        raise typer.Exit
    return wanted


def sweep(
    study: Annotated[
        Path, typer.Argument(help="Study file (YAML), or the name of one that is shipped, such as tail-index.")
    ],
    store: Annotated[str, typer.Option(help="Folder or fsspec URL of the results.")] = "results",
    engine: Annotated[EngineName, typer.Option(help="Where cells are run.")] = EngineName.LOCAL,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Cells at once.", show_default="1; with Ray what there is room for")
    ] = None,
    memory: Annotated[float | None, typer.Option(min=0.1, help="GiB that a cell may hold.")] = None,
    address: Annotated[str | None, typer.Option(help="Running Ray cluster; one is started here otherwise.")] = None,
    num_cpus: Annotated[float | None, typer.Option(help="Processors of a cell on Ray.", show_default="1")] = None,
    num_gpus: Annotated[float | None, typer.Option(help="GPUs of a cell on Ray.", show_default="0")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and estimate the time.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema", help="Print the JSON schema of study files and stop.", callback=_show_schema, is_eager=True
        ),
    ] = False,
) -> None:
    """Run the cells of a study that the store does not hold yet; exit 0 when every cell is finished."""
    from contextlib import redirect_stdout

    from critlearn.cli import display
    from critlearn.studies.sweep.run import sweep as run_sweep
    from critlearn.studies.sweep.state import estimate, sweep_state
    from critlearn.studies.sweep.study.cells import cell_label
    from critlearn.studies.sweep.study.preflight import check_devices
    from critlearn.studies.sweep.study.reading import load_studies
    from critlearn.studies.sweep.study.schema import shipped_file

    shipped = not study.suffix and not study.exists()
    declared = load_studies(shipped_file(str(study)) if shipped else study)
    if engine is EngineName.LOCAL:
        for one in declared:
            check_devices(one)
    if dry_run:
        _list_cells(declared, store, processes or 1, json=json)
        return
    bound = None if memory is None else int(memory * 2**30)
    if engine is EngineName.RAY:
        runner = _on_ray(address, processes, num_cpus, num_gpus, bound)
    else:
        runner = _locally(address, processes, num_cpus, num_gpus, bound)
    due = estimate(declared, store, processes or 1)["due"]
    done = ((one, *finished) for one in declared for finished in run_sweep(one, store, runner))
    # Ray reports lost processes on the standard output, which is for results.
    with redirect_stdout(sys.stderr):
        for number, (one, cell, reason) in enumerate(done, 1):
            say(f"{number} of {due}: {cell_label(one, cell)}: {reason or 'finished'} ({cell.name})", err=True)
    state = sweep_state(declared, store)
    display.print_state(state, as_json=json)
    if not state.complete:
        raise typer.Exit(1)


def _list_cells(declared: "tuple[Study, ...]", store: str, processes: int, *, json: bool) -> None:
    """Print the cells and the time that those which are missing will take."""
    from critlearn.studies.sweep.state import estimate
    from critlearn.studies.sweep.study.cells import cell_label, expand

    plan = estimate(declared, store, processes)
    if json:
        print_json(plan)
        return
    for one in declared:
        for cell in expand(one):
            say(f"{cell.name}  {cell_label(one, cell)}")
    say(f"{plan['cells']} cells, {plan['due']} to run; {plan['estimate']}")


def _locally(
    address: str | None, processes: int | None, num_cpus: float | None, num_gpus: float | None, memory: int | None
) -> "Engine":
    """Processes of one thread on this machine."""
    from functools import partial

    from critlearn.errors import InvalidInputError
    from critlearn.studies.sweep.engines.local import memory_share, run_locally

    options = {"--address": address, "--num-cpus": num_cpus, "--num-gpus": num_gpus}
    used = [name for name, value in options.items() if value is not None]
    if used:
        raise InvalidInputError(f"{used[0]} is an option of --engine ray; the engine is local")
    # A process is bounded by as much, which is refused here before anything is written.
    memory_share(processes or 1, memory)
    return partial(run_locally, processes=processes or 1, memory=memory)


def _on_ray(
    address: str | None, processes: int | None, num_cpus: float | None, num_gpus: float | None, memory: int | None
) -> "Engine":
    """A Ray cluster."""
    from functools import partial

    from critlearn.studies.sweep.engines.ray import run_on_ray
    from critlearn.studies.sweep.engines.ray_cluster import Resources

    resources = Resources(1.0 if num_cpus is None else num_cpus, num_gpus or 0.0, memory)
    return partial(run_on_ray, address=address, resources=resources, processes=processes)

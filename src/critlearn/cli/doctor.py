"""Command ``critlearn doctor``: what the installation has to work with, and what is wrong with it."""

from pathlib import Path
from typing import Annotated

import typer

from critlearn.cli.terminal import print_json, say


def doctor(
    out: Annotated[Path, typer.Option(help="Folder for runs that is to be writable.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check the installation: versions, threads, GPU, precision, store. Exit code 1 if something is wrong."""
    from critlearn.environment import examine

    found = examine(out)
    if as_json:
        print_json(found.to_dict())
    else:
        say(found.summary())
    if not found.ok:
        raise typer.Exit(1)

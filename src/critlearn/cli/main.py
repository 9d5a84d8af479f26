"""The program ``critlearn``: its commands, and the only place where bad input becomes one line and exit code 2."""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from critlearn._version import __version__
from critlearn.cli import run, runs
from critlearn.cli.analyze import analyze
from critlearn.cli.design import design
from critlearn.cli.doctor import doctor
from critlearn.cli.duality import duality
from critlearn.cli.dynamics import dynamics
from critlearn.cli.explain import explain
from critlearn.cli.explore import explore
from critlearn.cli.fit import fit
from critlearn.cli.predict import predict
from critlearn.cli.report import report
from critlearn.cli.reproduce import reproduce
from critlearn.cli.results import results
from critlearn.cli.sweep import sweep
from critlearn.cli.table import table
from critlearn.errors import CritlearnError

app = typer.Typer(
    name="critlearn",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(run.app, name="run")
app.add_typer(runs.app, name="runs")
for command in (
    *(
        analyze,
        fit,
        predict,
        design,
        table,
        duality,
        dynamics,
        sweep,
        results,
        reproduce,
        report,
        explain,
        explore,
        doctor,
    ),
):
    app.command()(command)

BAD_INPUT = 2
INTERRUPTED = 130
CLOSED_PIPE = 141
"""Exit codes; the last two are those of a shell: 128 and the number of the signal (SIGINT, SIGPIPE)."""


def _show_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Measure, predict and design the power laws in the fluctuations of learning."""


def main() -> None:
    """Entry point of the program."""
    code = exit_code(app)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer would be tried again, and complained of, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = CLOSED_PIPE
    sys.exit(code)


def exit_code(program: Callable[..., Any], arguments: list[str] | None = None) -> int:
    """Run the program; bad input gives one line on standard error.

    Returns
    -------
    int
        0, 2 for bad input, 130 after Ctrl-C, 141 where nobody reads the output any more. Any other exception is a
        defect and keeps its traceback.
    """
    try:
        code = program(arguments, standalone_mode=False)
    except CritlearnError as problem:
        return _refuse(str(problem))
    except typer.TyperException as problem:
        return _refuse(problem.format_message())
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except SystemExit as stop:
        # Typer and Rich stop with code 1 where the output is a pipe that nobody reads.
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        code = CLOSED_PIPE
    if code == INTERRUPTED:
        typer.echo("critlearn: stopped; runs that were finished are whole", err=True)
    return code if isinstance(code, int) else 0


def _refuse(message: str) -> int:
    """Print what was wrong on standard error."""
    if message:
        typer.echo("critlearn: " + " ".join(message.split()), err=True)
    return BAD_INPUT

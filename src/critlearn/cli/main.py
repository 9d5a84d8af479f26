"""The program ``critlearn``: its commands, and the only place where bad input becomes one line and exit code 2."""

import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final

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
from critlearn.cli.terminal import say
from critlearn.errors import CritlearnError, InvalidInputError

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

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130
CLOSED_PIPE = 141
"""Exit codes; the last two are those of a shell: 128 and the number of the signal (SIGINT, SIGPIPE)."""


def _show_version(wanted: bool) -> bool:
    if wanted:
        say(__version__)
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
    if sys.stdout is None:
        # Whatever file is opened next would take the place of the closed output.
        say("critlearn: standard output is closed", err=True)
        sys.exit(FAILED)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a terminal of ASCII or Latin-1 has no sign for is written out, as Python does on standard error.
        sys.stdout.reconfigure(errors="backslashreplace")
    # A batch system that ends a job first asks, as Ctrl-C does: what is finished is then kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = exit_code(app)
    try:
        sys.stdout.flush()
    except OSError as problem:
        # A command that has failed in writing has told it.
        code = code or _fail(problem)
        # What is left in the buffer would be tried again, and complained of, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def exit_code(program: Callable[..., Any], arguments: list[str] | None = None) -> int:
    """Run the program; bad input gives one line on standard error.

    Returns
    -------
    int
        0, 1 where the output cannot be written, 2 for bad input, 130 after Ctrl-C or SIGTERM, 141 where nobody reads
        the output any more. Any other exception is a defect and keeps its traceback.
    """
    try:
        _check_working_folder()
        code = program(arguments, standalone_mode=False)
    except CritlearnError as problem:
        return _refuse(str(problem))
    except typer.TyperException as problem:
        return _refuse(problem.format_message())
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as problem:
        return _fail(problem)
    except ValueError as problem:
        # What the system is asked for with a name that no file may have, wherever the name comes from.
        if not str(problem).startswith("embedded null"):
            raise
        return _refuse("a name of a file holds a NUL character")
    except SystemExit as stop:
        return _stopped(stop)
    if code == INTERRUPTED:
        say("critlearn: stopped; runs that were finished are whole", err=True)
    return code if isinstance(code, int) else 0


_BAD_PATHS: Final = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EPERM)
"""Errors of paths that a user gave, wherever the system first looks at them."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""Errors of a place that takes no more."""


def _check_working_folder() -> None:
    """Raise if the working folder was removed: libraries end the process over that, or search all others."""
    try:
        Path.cwd()
    except OSError as problem:
        raise InvalidInputError(f"the working folder is gone ({problem.strerror}): change to another one") from None


def _fail(problem: OSError) -> int:
    """Print what the system refuses; a path is bad input, a full disk is none, and anything else a defect."""
    if isinstance(problem, BrokenPipeError):
        return CLOSED_PIPE
    if problem.errno not in (*_BAD_PATHS, *_FULL):
        raise problem
    what = "the output" if problem.filename is None else f'"{str(problem.filename)[:_LONGEST]}"'
    reason = problem.strerror or str(problem)
    bad = problem.errno in _BAD_PATHS
    say(f"critlearn: {what} {'cannot be used' if bad else 'cannot be written'}: {reason}", err=True)
    return BAD_INPUT if bad else FAILED


_LONGEST: Final = 80
"""Characters that are repeated of a path, which may be too long."""


def _stopped(stop: SystemExit) -> int:
    """Tell who stopped: only the command line itself may, as it does after it has written completions for a shell."""
    # Typer and Rich stop with code 1 where the output is a pipe that nobody reads.
    if isinstance(stop.__context__, BrokenPipeError):
        return CLOSED_PIPE
    frame = _last_frame(stop)
    if frame.f_globals.get("__name__", "").partition(".")[0] in ("typer", "click", "rich"):
        raise stop
    place = f"{frame.f_code.co_qualname} of {frame.f_code.co_filename}, line {frame.f_code.co_firstlineno}"
    return _refuse(f"the program was ended by {stop!r}, raised in {place}")


def _last_frame(stop: SystemExit) -> FrameType:
    step = stop.__traceback__
    assert step is not None
    while step.tb_next is not None:
        step = step.tb_next
    return step.tb_frame


def _refuse(message: str) -> int:
    """Print what was wrong on standard error."""
    if message:
        say("critlearn: " + " ".join(message.split()), err=True)
    return BAD_INPUT

"""The only way to the terminal: names of columns, files and runs come from outside, and may hold commands to it."""

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_WIDTH: Final = 200
"""Characters of a line where there is no terminal: the table of a run fits."""

_CONTROLS: Final = {
    # C0 but for tab and end of line, DEL, C1; then what turns the direction of writing or ends a line or paragraph.
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"},
    **{code: f"\\u{code:04x}" for code in (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))},
}


def cleaned(text: str) -> str:
    r"""Text with its control characters written out, so that a terminal shows them and obeys none.

    >>> cleaned("a\x1b[31mred\ttab")
    'a\\x1b[31mred\ttab'
    """
    return text.translate(_CONTROLS)


def say(text: str = "", *, err: bool = False) -> None:
    """Print text without control characters, on standard output or standard error."""
    _write(cleaned(text), err=err)


def draw(shown: "RenderableType", width: int = _WIDTH) -> None:
    """Print a table, or what else Rich draws, without control characters in what it was made of."""
    from rich.segment import Segment, Segments

    screen = console(width)
    parts = [Segment(cleaned(part.text), part.style, part.control) for part in screen.render(shown)]
    screen.print(Segments(parts), end="", crop=False)


def console(width: int = _WIDTH) -> "Console":
    """Console on standard output; where there is no terminal, its width must not cut numbers off."""
    from rich.console import Console

    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else width)


def print_json(value: Mapping[str, Any]) -> None:
    """One object on standard output; numbers that do not exist are null, and what is no ASCII is written out."""
    _write(json.dumps(value, allow_nan=False))


def print_csv(text: str) -> None:
    """Table on standard output: as it is for a program, without control characters on a terminal."""
    _write(cleaned(text) if sys.stdout.isatty() else text, end="")


def _write(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Write at once; Typer would write UTF-8 to a terminal of ASCII, and leave out what it takes for colours."""
    stream = sys.stderr if err else sys.stdout
    # A program may be started with its standard error closed.
    if stream is not None:
        print(text, end=end, file=stream, flush=True)

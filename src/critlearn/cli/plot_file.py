"""The file that ``--plot`` names: refused before the work is done."""

from pathlib import Path

from critlearn.errors import InvalidInputError, OutputError


def check_plot(plot: Path | None) -> None:
    """Raise if the file of a plot cannot be written.

    Raises
    ------
    InvalidInputError
        If the file's ending is unknown.
    OutputError
        If there is no such folder.
    """
    if plot is None:
        return
    if plot.suffix not in (".svg", ".pdf", ".png"):
        raise InvalidInputError(f'--plot writes .svg, .pdf or .png; got "{plot}"')
    if not plot.parent.is_dir():
        raise OutputError(f'there is no folder "{plot.parent}"')

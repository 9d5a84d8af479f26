"""Command ``critlearn explore``: the local page."""

from pathlib import Path
from typing import Annotated

import typer


def explore(
    study: Annotated[
        Path | None, typer.Argument(help="Folder of runs, or of one run, for the last two tabs.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(help="Port of 127.0.0.1.")] = 8501,
    host: Annotated[
        str | None, typer.Option(help="Further name to answer to, as of a proxy on this computer.", show_default=False)
    ] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Open no browser.")] = False,
) -> None:
    r"""Open the explorer in a browser: compose, design, look through runs. Needs critlearn\[explore]."""
    from critlearn.explorer import serve

    serve(study, port, headless=headless, host=host)

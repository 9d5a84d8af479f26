"""Command ``critlearn design``: a loss, or an activation, with a chosen exponent."""

from pathlib import Path
from typing import Annotated

import typer


def design(
    exponent: Annotated[float, typer.Option(help="Exponent k of p(delta) ~ delta^-k, from -2 to 3.")],
    activation: Annotated[str | None, typer.Option(help="Design a loss for this activation.")] = None,
    loss: Annotated[str | None, typer.Option(help="Design an activation for this loss.")] = None,
    classes: Annotated[int | None, typer.Option(help="Design a softmax with its loss for so many classes.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw loss and error signal into this .svg, .pdf or .png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Design a loss or an activation for an exponent."""
    import json

    from critlearn.cli.plot_file import check_plot
    from critlearn.inverse_design import design as make

    check_plot(plot)
    made = make(exponent, activation=activation, loss=loss, classes=classes)
    if plot is not None:
        from critlearn.reports.design_figure import draw_design

        draw_design(made, plot)
    answer = made.to_dict() | {"window": None, "decades": None, "caustics": [], "method": "symbolic"}
    typer.echo(json.dumps(answer, allow_nan=False) if as_json else made.summary())

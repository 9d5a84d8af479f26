"""Command ``critlearn design``: a loss, or an activation, with a chosen exponent, of the output or of a run's layer."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from critlearn.cli.duality import Trust
from critlearn.cli.terminal import print_json, say

if TYPE_CHECKING:
    from critlearn.comparison import AimedDesign


def design(
    exponent: Annotated[float, typer.Option(help="Exponent k of p(delta) ~ delta^-k, from -2 to 3.")],
    activation: Annotated[str | None, typer.Option(help="Design a loss for this activation.")] = None,
    loss: Annotated[str | None, typer.Option(help="Design an activation for this loss.")] = None,
    classes: Annotated[int | None, typer.Option(help="Design a softmax with its loss for so many classes.")] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder of a run, whose margins and path factors a design aims with.")
    ] = None,
    quantity: Annotated[
        str | None, typer.Option(help="Quantity of the run that shall have the exponent, as hidden1.bias.")
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            help="Where the quantity shall have it.", metavar="LO,HI", show_default="2% to 50% of its fluctuations"
        ),
    ] = None,
    level: Annotated[
        int,
        typer.Option(help="Level of the predictions: 1 for Gaussian margins, 2 for margins as they are."),
    ] = 2,
    trust: Trust = False,
    plot: Annotated[Path | None, typer.Option(help="Draw loss and error signal into this .svg, .pdf or .png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Design a loss or an activation for an exponent, of the output or of a layer of a run."""
    from critlearn.cli.plot_file import check_plot
    from critlearn.errors import InvalidInputError
    from critlearn.inverse_design import design as make
    from critlearn.results import plain

    check_plot(plot)
    aimed = None
    if run is not None and quantity is not None:
        if any(value is not None for value in (activation, loss, classes)):
            raise InvalidInputError("a design that aims at a layer is a loss of the margin: leave out the others")
        aimed = _aimed(exponent, run, quantity, window, level, trust)
    elif any(value is not None for value in (run, quantity, window)):
        raise InvalidInputError("a design that aims at a layer takes both --run FOLDER and --quantity NAME")
    made = aimed.design if aimed is not None else make(exponent, activation=activation, loss=loss, classes=classes)
    if plot is not None:
        from critlearn.reports.design_figure import draw_design

        draw_design(made, plot)
    answer = made.to_dict() | {"window": None, "decades": None, "caustics": [], "method": "symbolic"}
    summary = made.summary()
    if aimed is not None:
        answer, summary = plain(aimed.to_dict()), aimed.summary()
    if as_json:
        print_json(answer)
    else:
        say(summary)


def _aimed(exponent: float, run: Path, quantity: str, window: str | None, level: int, trust: bool) -> "AimedDesign":
    """Loss that aims at a quantity of a run."""
    from critlearn.analysis.run_folder import read_record
    from critlearn.cli.fit import ends_of
    from critlearn.comparison import predict
    from critlearn.errors import InvalidInputError
    from critlearn.numerics.window import Window
    from critlearn.studies.runs.system import load_system

    wanted = None
    if window is not None:
        low, high = ends_of(window)
        if high == math.inf:
            raise InvalidInputError(f'a design aims at a window with two ends; got --window "{window}"')
        wanted = Window(low, high)
    system = load_system(run, read_record(run), trust=trust).trained
    return predict(system, level=level).design(exponent, quantity, window=wanted)

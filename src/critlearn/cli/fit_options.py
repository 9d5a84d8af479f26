"""The options of ``critlearn fit``: their names, types and the lines that ``--help`` prints."""

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[
    str,
    typer.Argument(
        help="A .csv, .txt or .npy file, also compressed as .gz, an .npz or .parquet file, or - for standard input."
    ),
]
Column = Annotated[str | None, typer.Option(help="Column, or array, to fit.", show_default="the only one")]
Ends = Annotated[
    str | None,
    typer.Option(
        help="Ends of the window: lo,hi. With inf as hi the law has no upper end.",
        show_default="searched for",
        metavar="LO,HI",
    ),
]
LowerEnd = Annotated[
    float | None, typer.Option(help="Fit a tail to infinity from here on: --window X,inf.", show_default="searched for")
]
Side = Annotated[
    str, typer.Option(help="both cut-offs, or one only: large (a tail to infinity) or small (down to zero).")
]
Sign = Annotated[
    str | None, typer.Option(help="Of numbers with a sign: absolute, positive or negative.", show_default="none")
]
Discrete = Annotated[
    bool | None,
    typer.Option(
        "--discrete/--continuous", help="Fit a law on integers, or on real numbers.", show_default="the data decide"
    ),
]
Bootstrap = Annotated[
    int,
    typer.Option(
        help="Replicates of the p-value. Where the window is searched for, each repeats the search; with --window "
        "each is a sample on that window. 0: 400 replicates on the window that was found or given, no search."
    ),
]
Cluster = Annotated[str | None, typer.Option(help="Column of labels of dependent values.", show_default="none")]
Block = Annotated[int | None, typer.Option(help="Length of blocks of dependent neighbours.", show_default="none")]
Weights = Annotated[str | None, typer.Option(help="Column of weights.", show_default="none")]
OmitNan = Annotated[bool, typer.Option("--omit-nan", help="Leave out NaN and infinite values.")]
Tolerance = Annotated[
    float | None, typer.Option(help="Difference of exponents that counts as none.", show_default="0.05")
]
Seed = Annotated[int, typer.Option(help="Seed; the same one repeats a fit.")]
Plot = Annotated[Path | None, typer.Option(help="Draw the fit: a .svg, .pdf or .png file.")]
PlotKind = Annotated[
    str | None,
    typer.Option(
        help="What --plot draws: density, ccdf, local (the exponent along the sizes), stability (the exponent by the "
        "lower end), qq, or all of them.",
        show_default="density and local",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")]

"""Command ``critlearn analyze``: a trained network of a user's own, certified, measured, fitted and predicted."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from critlearn.cli.run import Columns, Device, Drop, Json, Modes, Out, Quiet, Target
from critlearn.cli.terminal import print_json, say


def analyze(
    network: Annotated[
        str,
        typer.Argument(
            help="file.py:name or package.module:name of a function without arguments that returns a trained network, "
            "or (model, loss, data), or a NeuralSystem. Its file is run.",
            metavar="NETWORK",
            show_default=False,
        ),
    ],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights: .safetensors, or a file of torch.save with tensors alone.")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="Loss: cross-entropy of logits, bce of a logit, or another one as `critlearn table` lists them, or "
            "file.py:name of a function (y, t) -> value.",
            show_default="the function's",
        ),
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(help="Activation between the network's output and the loss.", show_default="the loss's own"),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set by name, as for `critlearn run`, a file, or file.py:name of a data set, a loader, or a "
            "function that returns one.",
            show_default="the function's",
        ),
    ] = None,
    target: Target = None,
    columns: Columns = None,
    drop: Drop = None,
    only: Annotated[
        list[str] | None, typer.Option(help='Variables that are measured, as "blocks.3.*"; may be given again.')
    ] = None,
    variables: Annotated[
        int | None, typer.Option(help="Entries drawn from each variable, for large networks.", show_default="all")
    ] = None,
    weight_decay: Annotated[float, typer.Option(help="L2 weight decay of the training.")] = 0.0,
    modes: Modes = None,
    seed: Annotated[int, typer.Option(help="Seed of resampling and of synthetic data.", min=0)] = 0,
    device: Device = None,
    out: Out = Path("runs"),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say which layers of your trained network fluctuate scale-free, over what range, with what exponent, and why."""
    from critlearn.analysis import analyze, rows_of
    from critlearn.cli import display
    from critlearn.fluctuations import Quantities
    from critlearn.studies.config import parse_names
    from critlearn.studies.user_networks.assembly import NetworkOptions, named_system
    from critlearn.whole_files import check_writable

    check_writable(out)
    quantities = Quantities(only=tuple(only or ()), variables=variables)
    named = named_system(
        NetworkOptions(
            network,
            checkpoint,
            loss=loss,
            activation=activation,
            data=data,
            target=target,
            columns=() if columns is None else parse_names(columns, "--columns"),
            drop=() if drop is None else parse_names(drop, "--drop"),
            seed=seed,
            device=device or "cpu",
        )
    )
    with warnings.catch_warnings():
        # The screen of results says it, too.
        warnings.filterwarnings("ignore", message="the analysis was interrupted")
        analysis = analyze(
            named.system,
            weight_decay=weight_decay,
            quantities=quantities,
            modes=modes,
            source=named.source,
            seed=seed,
            progress=not (json or quiet),
        )
    record, unwritten = display.written(analysis, out)
    if json:
        kept = ("run_dir", "equilibrium", "versions", "seconds")
        print_json({**{name: record[name] for name in kept}, "table": rows_of(record)})
    elif quiet:
        say(record["run_dir"] or "")
    else:
        display.print_run(record)
    if unwritten is not None:
        raise unwritten
    if record["unfinished"]:
        raise KeyboardInterrupt

"""``critlearn run``: train to equilibrium, measure, predict, compare, and write a folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Train to equilibrium, measure the fluctuations, and hold them against their prediction.")

Activation = Annotated[
    str | None,
    typer.Option(
        help="Output activation: a name as `critlearn table` lists them, an expression in y such as 'y/(1+abs(y))', "
        "or package.module:name.",
        show_default="sigmoid",
    ),
]
Loss = Annotated[
    str | None,
    typer.Option(
        help="Loss: a name as `critlearn table` lists them, power:p, an expression in e = f - t, or in f and t, such "
        "as 'abs(e)**3', or package.module:name; cross-entropy goes with softmax.",
        show_default="bce",
    ),
]
Target = Annotated[str | None, typer.Option(help="Column that holds the class.", show_default="last column")]
Seed = Annotated[int | None, typer.Option(help="Seed; the same one repeats a run.", show_default="0")]
Out = Annotated[Path, typer.Option(help="Folder in which the run's own folder is made.")]
Json = Annotated[bool, typer.Option("--json", help="Print the record as one JSON object, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the run's folder.")]
LearningRate = Annotated[float | None, typer.Option(help="Learning rate of the training.")]
WeightDecay = Annotated[float | None, typer.Option(help="Decoupled weight decay of the training.")]
StopAtEquilibrium = Annotated[
    bool | None,
    typer.Option(
        "--stop-at-equilibrium/--all-epochs", help="End with the first certificate of equilibrium.", show_default="stop"
    ),
]
Device = Annotated[str | None, typer.Option(help="Device of torch.", show_default="cpu")]


@app.command()
def two_class(
    data: Annotated[
        str | None,
        typer.Option(
            help="breast-cancer, digits:3v8, moons, gaussians, a .csv, .npz or .parquet file, openml:NAME, "
            "or package.module:name.",
            show_default="breast-cancer",
        ),
    ] = None,
    target: Target = None,
    activation: Activation = None,
    loss: Loss = None,
    hidden: Annotated[str | None, typer.Option(help="Widths of the hidden layers.", show_default="32,32")] = None,
    hidden_activation: Annotated[
        str | None, typer.Option(help="Activation of the hidden layers, or relu.", show_default="tanh")
    ] = None,
    weight_variance: Annotated[
        float | None,
        typer.Option(help="Normal initial weights of this variance over inputs.", show_default="torch's own"),
    ] = None,
    seed: Seed = None,
    epochs: Annotated[int | None, typer.Option(help="Most epochs of training.", show_default="1000")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples in a step.", show_default="32")] = None,
    lr: LearningRate = None,
    weight_decay: WeightDecay = None,
    stop_at_equilibrium: StopAtEquilibrium = None,
    device: Device = None,
    out: Out = Path("runs"),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Dense network on a data set with two classes."""
    options = dict(locals())
    from critlearn.studies import TwoClassConfig, run_two_class
    from critlearn.studies.config import checked, parse_widths

    settings = _settings(options)
    if hidden is not None:
        settings["hidden"] = parse_widths(hidden)
    _run(run_two_class, checked(TwoClassConfig, settings), out, json=json, quiet=quiet)


@app.command()
def toy(
    inputs: Annotated[
        str | None,
        typer.Option(
            help='Density of x for the class +1, mirrored for -1: "uniform(-0.3,2.3)", "normal(1,1)", '
            '"laplace(1,0.7)".',
            show_default="uniform(-0.3,2.3)",
        ),
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Draws.", show_default="2000000")] = None,
    data: Annotated[
        str | None, typer.Option(help="Data set with one feature, in place of --inputs.", show_default="none")
    ] = None,
    target: Target = None,
    activation: Activation = None,
    loss: Loss = None,
    seed: Seed = None,
    epochs: Annotated[int | None, typer.Option(help="Most epochs of training.", show_default="200")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples in a step.", show_default="10000")] = None,
    lr: LearningRate = None,
    weight_decay: WeightDecay = None,
    stop_at_equilibrium: StopAtEquilibrium = None,
    device: Device = None,
    out: Out = Path("runs"),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Two-neuron model y = w x + b, whose fluctuations are predicted exactly."""
    options = dict(locals())
    from critlearn.studies import ToyConfig, run_toy
    from critlearn.studies.config import checked

    _run(run_toy, checked(ToyConfig, _settings(options)), out, json=json, quiet=quiet)


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """Options that are used and are settings of the run."""
    return {
        name: value for name, value in options.items() if value is not None and name not in ("out", "json", "quiet")
    }


def _run(study: Any, config: Any, out: Path, *, json: bool, quiet: bool) -> None:
    """Run a study, keep it, and print what was asked for."""
    from critlearn.cli import display
    from critlearn.reports.page import report_page
    from critlearn.studies.run_folder import write_run
    from critlearn.whole_files import check_writable

    check_writable(out)
    with display.training_progress(shown=not (json or quiet)) as progress:
        result = study(config, progress)
    record = write_run(out, result, report_page)
    if json:
        display.print_json(record)
    elif quiet:
        typer.echo(record["run_dir"])
    else:
        display.print_run(record)

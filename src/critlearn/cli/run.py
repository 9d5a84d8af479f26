"""``critlearn run``: train to equilibrium, measure, predict, compare, and write a folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

from critlearn.cli.terminal import print_json, say

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
Target = Annotated[str | None, typer.Option(help="Column of a file that holds the class.", show_default="last column")]
Columns = Annotated[
    str | None,
    typer.Option(help="Columns of a table that are the features, as in age,mass.", show_default="all others"),
]
Drop = Annotated[str | None, typer.Option(help="Columns of a table that are left out, as in id.", show_default="none")]
Hidden = Annotated[str | None, typer.Option(help="Widths of the hidden layers.", show_default="32,32")]
HiddenActivation = Annotated[
    str | None, typer.Option(help="Activation of the hidden layers, or relu.", show_default="tanh")
]
WeightVariance = Annotated[
    float | None, typer.Option(help="Normal initial weights of this variance over inputs.", show_default="torch's own")
]
Epochs = Annotated[int | None, typer.Option(help="Most epochs of training.", show_default="1000")]
BatchSize = Annotated[int | None, typer.Option(help="Samples in a step.", show_default="2000, or a quarter")]
Seed = Annotated[int | None, typer.Option(help="Seed; the same one repeats a run.", show_default="0")]
Seeds = Annotated[int, typer.Option(help="Networks, with seeds from --seed on, run side by side and pooled.")]
Out = Annotated[Path, typer.Option(help="Folder in which the run's own folder is made.")]
Json = Annotated[bool, typer.Option("--json", help="Print the record as one JSON object, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the run's folder.")]
LearningRate = Annotated[float | None, typer.Option(help="Learning rate of the training.")]
WeightDecay = Annotated[float | None, typer.Option(help="Weight decay of the training.")]
DecoupledWeightDecay = Annotated[
    bool | None,
    typer.Option(
        "--decoupled-weight-decay/--l2-weight-decay",
        help="Decay apart from the gradient, as in AdamW, or as a part of the loss.",
        show_default="L2",
    ),
]
StopAtEquilibrium = Annotated[
    bool | None,
    typer.Option(
        "--stop-at-equilibrium/--all-epochs", help="End with the first certificate of equilibrium.", show_default="stop"
    ),
]
Modes = Annotated[
    bool | None,
    typer.Option("--modes/--no-modes", help="Make the modes of learning, or none.", show_default="where that is cheap"),
]
DescentSteps = Annotated[
    int | None,
    typer.Option(help="Steps of plain gradient descent from the trained state, followed over time.", show_default="0"),
]
DescentRate = Annotated[float | None, typer.Option(help="Learning rate of these steps.", show_default="0.1")]
DescentBatch = Annotated[int | None, typer.Option(help="Samples in each of them.", show_default="16")]
Device = Annotated[str | None, typer.Option(help="Device of torch.", show_default="cpu")]


@app.command()
def two_class(
    data: Annotated[
        str | None,
        typer.Option(
            help="flights, flights:all, breast-cancer, digits:3v8, moons, gaussians, a .csv, .npz or .parquet file, "
            "openml:NAME, or package.module:name.",
            show_default="flights",
        ),
    ] = None,
    target: Target = None,
    columns: Columns = None,
    drop: Drop = None,
    activation: Activation = None,
    loss: Loss = None,
    hidden: Hidden = None,
    hidden_activation: HiddenActivation = None,
    weight_variance: WeightVariance = None,
    seed: Seed = None,
    seeds: Seeds = 1,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    weight_decay: WeightDecay = None,
    decoupled_weight_decay: DecoupledWeightDecay = None,
    stop_at_equilibrium: StopAtEquilibrium = None,
    modes: Modes = None,
    descent_steps: DescentSteps = None,
    descent_lr: DescentRate = None,
    descent_batch_size: DescentBatch = None,
    device: Device = None,
    out: Out = Path("runs"),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Dense network on a data set with two classes."""
    options = dict(locals())
    from critlearn.studies import TwoClassConfig, run_two_class
    from critlearn.studies.config import checked

    _run(run_two_class, checked(TwoClassConfig, _settings(options)), out, seeds, json=json, quiet=quiet)


@app.command()
def classes(
    data: Annotated[
        str | None,
        typer.Option(
            help="flights:3, flights:all:3, digits, or digits:1v4v7, and all that two-class takes.",
            show_default="flights:3",
        ),
    ] = None,
    target: Target = None,
    columns: Columns = None,
    drop: Drop = None,
    activation: Annotated[str | None, typer.Option(help="Output activation.", show_default="softmax")] = None,
    loss: Annotated[str | None, typer.Option(help="Loss.", show_default="cross-entropy")] = None,
    hidden: Hidden = None,
    hidden_activation: HiddenActivation = None,
    weight_variance: WeightVariance = None,
    seed: Seed = None,
    seeds: Seeds = 1,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    weight_decay: WeightDecay = None,
    decoupled_weight_decay: DecoupledWeightDecay = None,
    stop_at_equilibrium: StopAtEquilibrium = None,
    modes: Modes = None,
    descent_steps: DescentSteps = None,
    descent_lr: DescentRate = None,
    descent_batch_size: DescentBatch = None,
    device: Device = None,
    out: Out = Path("runs"),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Dense network with an output for each class, on a data set with two classes or more."""
    options = dict(locals())
    from critlearn.studies import ClassesConfig, run_classes
    from critlearn.studies.config import checked

    _run(run_classes, checked(ClassesConfig, _settings(options)), out, seeds, json=json, quiet=quiet)


@app.command()
def network(
    network: Annotated[
        str,
        typer.Option(
            help="file.py:name or package.module:name of a function that returns a torch network, or (network, loss, "
            "data). Its parameters `seed` and `hidden_activation`, if it has them, are given these settings."
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(help="Data by name, file or package.module:name.", show_default="those of the function"),
    ] = None,
    target: Target = None,
    columns: Columns = None,
    drop: Drop = None,
    activation: Annotated[str | None, typer.Option(help="Output activation.", show_default="own")] = None,
    loss: Annotated[str | None, typer.Option(help="Loss.", show_default="own")] = None,
    hidden_activation: Annotated[
        str | None, typer.Option(help="Argument of the function.", show_default="its default")
    ] = None,
    seed: Seed = None,
    seeds: Seeds = 1,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    weight_decay: WeightDecay = None,
    decoupled_weight_decay: DecoupledWeightDecay = None,
    stop_at_equilibrium: StopAtEquilibrium = None,
    modes: Modes = None,
    descent_steps: DescentSteps = None,
    descent_lr: DescentRate = None,
    descent_batch_size: DescentBatch = None,
    device: Device = None,
    out: Out = Path("runs"),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Network of your own, trained as the others are; `critlearn analyze` takes one that is trained already."""
    options = dict(locals())
    from critlearn.studies import NetworkConfig, run_network
    from critlearn.studies.config import checked

    _run(run_network, checked(NetworkConfig, _settings(options)), out, seeds, json=json, quiet=quiet)


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
    columns: Columns = None,
    drop: Drop = None,
    activation: Activation = None,
    loss: Loss = None,
    seed: Seed = None,
    seeds: Seeds = 1,
    epochs: Annotated[int | None, typer.Option(help="Most epochs of training.", show_default="200")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples in a step.", show_default="10000")] = None,
    lr: LearningRate = None,
    weight_decay: WeightDecay = None,
    decoupled_weight_decay: DecoupledWeightDecay = None,
    stop_at_equilibrium: StopAtEquilibrium = None,
    modes: Modes = None,
    descent_steps: DescentSteps = None,
    descent_lr: DescentRate = None,
    descent_batch_size: DescentBatch = None,
    device: Device = None,
    out: Out = Path("runs"),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Two-neuron model y = w x + b, whose fluctuations are predicted exactly."""
    options = dict(locals())
    from critlearn.studies import ToyConfig, run_toy
    from critlearn.studies.config import checked

    _run(run_toy, checked(ToyConfig, _settings(options)), out, seeds, json=json, quiet=quiet)


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """Options that are used and are settings of the run."""
    from critlearn.studies.config import parse_names, parse_widths

    settings = {
        name: value
        for name, value in options.items()
        if value is not None and name not in ("out", "seeds", "json", "quiet")
    }
    if "hidden" in settings:
        settings["hidden"] = parse_widths(settings["hidden"])
    for name in {"columns", "drop"} & {*settings}:
        settings[name] = parse_names(settings[name], f"--{name}")
    return settings


def _run(study: Any, config: Any, out: Path, seeds: int, *, json: bool, quiet: bool) -> None:
    """Run a study once, or with several seeds, keep it, and print what was asked for."""
    from critlearn.analysis.road import Interrupted
    from critlearn.analysis.stages import stage_bar
    from critlearn.cli import display
    from critlearn.reports.page import write_report
    from critlearn.studies import run_ensemble
    from critlearn.whole_files import check_writable

    check_writable(out)
    if seeds == 1:
        with display.training_progress(shown=not (json or quiet)) as progress:
            try:
                analysis = study(config, progress)
            except Interrupted as stop:
                # The training took most of the time: what was fitted until then is kept.
                analysis = stop.analysis
        record, unwritten = display.written(analysis, out)
    else:
        with stage_bar(shown=not (json or quiet)) as bar:
            record = run_ensemble(config, seeds, out, bar).record
        write_report(Path(record["run_dir"]))
        unwritten = None
    if json:
        print_json(record)
    elif quiet:
        say(record["run_dir"] or "")
    else:
        display.print_run(record)
    if unwritten is not None:
        raise unwritten
    if record["unfinished"]:
        raise KeyboardInterrupt

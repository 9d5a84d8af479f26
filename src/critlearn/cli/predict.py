"""Command ``critlearn predict``: the exponent of a composition, and with a density its window."""

from typing import Annotated, Any

import typer

from critlearn.cli.terminal import print_json, say


def predict(
    activation: Annotated[
        str | None,
        typer.Option(
            help="Name as `critlearn table` lists them, or expression in y such as 'y/(1+abs(y)**3)**(1/3)'; softmax "
            "goes with cross-entropy. Default: sigmoid, or softmax for cross-entropy."
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="Name as `critlearn table` lists them, power:p, or expression in f and t, or in e = f - t, such as "
            "'abs(e)**3'. Default: bce, or cross-entropy for softmax."
        ),
    ] = None,
    density: Annotated[
        str | None,
        typer.Option(
            help="Density of the pre-activation y (for softmax of the margin): 'normal(0,1)', "
            "'0.5*t(3)+0.5*laplace(1,2)', FILE.csv:COLUMN; without it the exponents of the composition alone."
        ),
    ] = None,
    target: Annotated[float, typer.Option(help="Target; for an output that saturates the class, -1 or 1.")] = 1.0,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1.0,
    tolerance: Annotated[float, typer.Option(help="How far the local exponent may drift in the window.")] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Predict the exponent of fluctuations from an activation, a loss and a density."""
    from critlearn.compositions.named.resolve import composition_of, margin_composition, with_partner
    from critlearn.numerics.window import format_exp
    from critlearn.prediction import caustics_of, predict_from_density
    from critlearn.prediction.prediction import check_settings
    from critlearn.results import plain

    check_settings(lr, tolerance)
    composition = margin_composition(composition_of(*with_partner(activation, loss)))
    asymptotes = composition.all_asymptotes(target)
    governing = composition.asymptotic(target)
    answer: dict[str, Any] = {
        "composition": composition.name,
        "exponent": governing.exponent,
        "exact": governing.exact,
        "fluctuations": governing.fluctuations,
        "tail": governing.tail,
        "window": None,
        "log_window": None,
        "decades": None,
        "caustics": [],
        "method": governing.method,
        "uncertainty": governing.uncertainty,
        "asymptotes": [one.to_dict() for one in asymptotes],
    }
    lines = [f"{composition.name}, target {target:g}", *(f"  {one.summary()}" for one in asymptotes)]
    if density is None:
        caustics = caustics_of(composition, target=target, lr=lr)
        answer["caustics"] = [caustic.to_dict() for caustic in caustics]
    else:
        prediction = predict_from_density(composition, density, target=target, lr=lr, tolerance=tolerance)
        kept = ("exponent", "exact", "window", "log_window", "decades", "caustics", "zeros", "tolerance", "source")
        answer |= {key: value for key, value in plain(prediction.to_dict()).items() if key in kept}
        lines += [f"with y from {density}: {prediction.summary()}"]
        caustics = prediction.caustics
    lines += [f"  caustic ({c.kind}) at delta = {format_exp(c.log_delta, 6)}" for c in caustics]
    if as_json:
        print_json(answer)
    else:
        say("\n".join(lines))

"""Predict networks under losses that they were not trained with, train with these, and hold the two side by side.

Three tables, written into docs/what_if.md between its markers. Command: python validation/what_if.py
"""

import argparse
import re
from pathlib import Path

import numpy as np

from critlearn.comparison import SystemPrediction, predict
from critlearn.comparison.criteria import MARGIN
from critlearn.comparison.predicted_exponent import predicted_on, quantile_window
from critlearn.equilibrium import equilibrate
from critlearn.errors import InvalidInputError
from critlearn.inference import fit_power_law
from critlearn.network import NeuralSystem
from critlearn.numerics.window import Window
from critlearn.studies.config import TwoClassConfig
from critlearn.studies.two_class import initial_network, run_two_class, samples_of
from critlearn.whole_files import write_whole

TRAINED = ("sigmoid", "bce")
OTHERS = (("tanh", "mse"), ("softsign", "mse"), ("softsign", "bce"), ("sigmoid", "focal"))
QUANTITIES = ("hidden1.bias", "hidden1.weight", "hidden2.bias", "hidden2.weight", "output.bias", "output.weight")
AIMS = (("hidden1.bias", 0.6), ("hidden1.bias", 0.7), ("output.weight", 0.3), ("output.bias", 0.8))


def text(value: float | None) -> str:
    """Exponent in a cell."""
    return "-" if value is None or not np.isfinite(value) else f"{value:.3f}"


def between(prediction: SystemPrediction, name: str) -> float | None:
    """Predicted exponent between the predicted quantiles."""
    law = prediction[name].distribution
    window = quantile_window(law)
    return None if window is None else predicted_on(law, window)


def measured_between(prediction: SystemPrediction, name: str) -> tuple[float | None, Window]:
    """Measured exponent between the measured quantiles, and the window."""
    sketch = prediction.fluctuations[name]
    window = quantile_window(sketch)
    assert window is not None
    return predicted_on(sketch, window), window


def composition_rows(other: tuple[str, str], kept: SystemPrediction) -> tuple[list[list[str]], list[list[float]]]:
    """Rows of one composition; differences of what was predicted before training from what is measured after it.

    They are those at fixed margins on the measured window, at fixed margins between quantiles, and at the scale of
    equilibrium between quantiles.
    """
    analysis = run_two_class(TwoClassConfig(activation=other[0], loss=other[1]))
    assert analysis.system is not None
    print(other, analysis.summary().splitlines()[0], flush=True)
    own, told = predict(analysis.system), kept.with_composition(*other)
    scaled = told.at_equilibrium_scale()
    print(f"scale {scaled.factors.scale:.3f}", flush=True)
    rows: list[list[str]] = []
    apart: list[list[float]] = [[], [], []]
    for name in QUANTITIES:
        fit = fit_power_law(own.fluctuations[name], log_floor=own.fluctuations.log_floor)
        here = None if fit.window is None else predicted_on(told[name].distribution, fit.window)
        retrained = None if fit.window is None else predicted_on(own[name].distribution, fit.window)
        found, _ = measured_between(own, name)
        pairs = [(here, fit.exponent), (between(told, name), found), (between(scaled, name), found)]
        for differences, (expected, measured) in zip(apart, pairs, strict=True):
            if expected is not None and measured is not None:
                differences.append(expected - measured)
        decades = "-" if fit.window is None else f"{fit.window.decades:.1f}"
        numbers = (fit.exponent, here, retrained, found, pairs[1][0], pairs[2][0], between(own, name))
        rows.append(["+".join(other), name, decades, *map(text, numbers)])
    return rows, apart


def aimed_row(quantity: str, exponent: float, kept: SystemPrediction) -> list[str]:
    """Loss that aims at a quantity, and what the network has that is trained with it."""
    try:
        made = kept.design(exponent, quantity)
    except InvalidInputError as refused:
        return [quantity, f"{exponent:g}", "-", "-", "-", str(refused).split("; ")[-1]]
    config = TwoClassConfig()
    dataset, loss = samples_of(config), made.design.output_loss
    system = NeuralSystem(initial_network(config, dataset), loss, dataset.boundary(loss))
    approach = equilibrate(system, epochs=200, batch_size=2000, lr=0.01)
    own = predict(approach.system)
    found, window = measured_between(own, quantity)
    again = predicted_on(own[quantity].distribution, window)
    q = made.design.exponent
    return [quantity, f"{exponent:g}", f"{q:.3f}", text(found), text(again), str(approach.certificate.status)]


def tail_rows(prediction: SystemPrediction) -> list[list[str]]:
    """Tail theorem of each quantity."""
    rows = []
    for name in QUANTITIES:
        tail = prediction.steps.tail(name)
        if tail is None:
            continue
        parts = ["-" if part is None else f"{part.value:.2f}" for part in (tail.error, tail.path)]
        rules = {True: "errors", False: "path factors", None: "cannot tell"}[tail.finite]
        decades, follows = f"{tail.window.decades:.1f}", "-" if tail.exponent is None else f"{tail.exponent:.2f}"
        measured = f"{tail.measured.value:.2f}"
        rows.append(["+".join(TRAINED), name, decades, *parts, rules, follows, measured, str(tail.agreement)])
    return rows


def within(apart: list[float]) -> str:
    """How many differences are within the margin, and their size."""
    sizes = np.abs(apart)
    return (
        f"{int((sizes <= MARGIN).sum())} of {sizes.size} within {MARGIN:g}, median {np.median(sizes):.3f}, largest "
        f"{sizes.max():.3f}"
    )


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """Table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def write(path: Path, name: str, made: str) -> None:
    """Put a table between its markers in a page, by way of a temporary file."""
    page = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = re.sub(f"{re.escape(begin)}.*{re.escape(end)}", lambda _: f"{begin}\n{made}\n{end}", page, flags=re.DOTALL)
    write_whole(path, page.encode())


def main() -> None:
    """Make the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=Path("docs/what_if.md"))
    parser.add_argument("--only", choices=("compositions", "aims", "tails"))
    settings = parser.parse_args()
    analysis = run_two_class(TwoClassConfig(activation=TRAINED[0], loss=TRAINED[1]))
    assert analysis.system is not None
    kept = predict(analysis.system)
    if settings.only in (None, "tails"):
        head = ["trained with", "quantity", "decades", "errors k", "path factors k2", "rules", "follows", "measured"]
        write(settings.page, "tails", markdown([*head, "outcome"], tail_rows(kept)))
    if settings.only in (None, "compositions"):
        rows, apart = [], [[], [], []]
        for other in OTHERS:
            made, differences = composition_rows(other, kept)
            rows += made
            apart = [[*all_of, *own] for all_of, own in zip(apart, differences, strict=True)]
        head = ["trained anew with", "quantity", "decades", "measured k", "what if", "own level 2"]
        head += ["measured, 2-50%", "what if, 2-50%", "what if at scale, 2-50%", "own level 2, 2-50%"]
        said = (
            f"What if against measured: on the measured window {within(apart[0])}; from 2% to 50% {within(apart[1])}; "
            f"at the scale of equilibrium {within(apart[2])}."
        )
        write(settings.page, "compositions", f"{markdown(head, rows)}\n\n{said}")
        print(said, flush=True)
    if settings.only in (None, "aims"):
        head = ["quantity", "aimed at", "q of the loss", "measured after training", "own level 2", "state"]
        write(settings.page, "aims", markdown(head, [aimed_row(*aim, kept) for aim in AIMS]))


if __name__ == "__main__":
    main()

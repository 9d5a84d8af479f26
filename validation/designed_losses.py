"""Train with designed losses to equilibrium, measure, and see whether the exponent comes out as chosen.

Two tables, written into docs/design.md between its markers. Command: python validation/designed_losses.py
"""

import argparse
import re
from pathlib import Path

import numpy as np
import torch

from critlearn.comparison import predict
from critlearn.comparison.ladder.level import MARGINS
from critlearn.compositions import Composition
from critlearn.equilibrium import equilibrate
from critlearn.fluctuations import measure
from critlearn.inference import exponent_on, fit_power_law
from critlearn.inverse_design import QMarginLoss
from critlearn.network import NeuralSystem, feed_forward
from critlearn.numerics.window import Window
from critlearn.prediction import parse_density
from critlearn.studies.datasets.loading import load_data
from critlearn.studies.toy import drawn_classes
from critlearn.whole_files import write_whole

EXPONENTS = (0.0, 0.5, 1.0, 1.25, 1.5, 2.0)


def uniform_row(exponent: float, samples: int) -> list[str]:
    """Two-neuron model with inputs uniform on both sides of the boundary, so that margins are uniform."""
    loss = QMarginLoss(exponent)
    dataset = drawn_classes(parse_density("uniform(-0.3,2.3)"), samples, seed=3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = torch.nn.Linear(1, 1, dtype=torch.float64)
    system = NeuralSystem(model, loss, dataset.boundary(loss))
    approach = equilibrate(system, epochs=1500, batch_size=10_000, lr=0.05 if exponent < 2 else 0.5, seed=3)
    weight = float(approach.system.parameters["weight"].detach())
    sketch = measure(approach.system, batch_size=65536)["bias"]
    # The widest window that the design promises: from the largest margin up to where the error is held constant.
    largest = weight * 2.3
    low = float(loss.log_error_signal(np.array([largest]))[0])
    if exponent < 1:
        # Near its zero the error signal is uniform's image: two decades below its largest value suffice.
        low = max(low, -2 * np.log(10.0)) if np.isfinite(low) else -2 * np.log(10.0)
    window = Window.from_logs(low + 0.05, -0.05)
    measured = exponent_on(sketch.edges, sketch.counts, window)
    fit = fit_power_law(sketch, seed=3)
    fitted = "-" if fit.exponent is None else f"{fit.exponent:.3f}"
    return [
        f"{exponent:g}",
        str(approach.certificate.status),
        f"{weight:.2f}",
        f"{measured:.3f}",
        f"{abs(measured - exponent):.3f}",
        f"{window.decades:.2f}",
        fitted,
    ]


def digits_row(name: str, loss: object, epochs: int) -> list[str]:
    """Digits 3 against 8 with a hidden layer of 32 tanh units."""
    dataset = load_data("digits:3v8")
    model = feed_forward(dataset.x.shape[1], [32], "tanh", seed=1)
    system = NeuralSystem(model, loss, dataset.boundary(loss))  # type: ignore[arg-type]
    approach = equilibrate(
        system, epochs=epochs, batch_size=32, lr=1e-3, weight_decay=1.0, decoupled_weight_decay=True, seed=1
    )
    prediction = predict(approach.system)
    fluctuations = prediction.fluctuations
    # The window is the prediction's, so that the measurement has no part in choosing it.
    predicted = prediction["output.bias"].distribution
    window = central_window(predicted.edges, predicted.mass)
    fit = fit_power_law(fluctuations["output.bias"], window, seed=1)
    measured = exponent_on(fluctuations["output.bias"].edges, fluctuations["output.bias"].counts, window)
    expected = exponent_on(predicted.edges, predicted.mass, window)
    half_width = 0.5 * (fit.ci95[1] - fit.ci95[0])
    distances = prediction.ladder.query(f"level == {MARGINS}").set_index("quantity")["distance"]
    right = 0.0
    with torch.no_grad():
        for x, t in approach.system.boundary(4096):
            y, target = approach.system.forward(x, t)
            right += float((y * target > 0).sum())
    return [
        name,
        str(approach.certificate.status),
        f"{100 * right / len(dataset):.2f}",
        f"{window.decades:.2f}",
        f"{measured:.3f}",
        f"[{measured - half_width:.2f}, {measured + half_width:.2f}]",
        f"{expected:.3f}",
        "yes" if abs(measured - expected) <= half_width else "no",
        str(fit.verdict),
        "; ".join(f"{key} {distances[key]:.2f}" for key in approach.system.parameters),
    ]


def central_window(edges: np.ndarray, mass: np.ndarray) -> Window:
    """From the fluctuation that 5% of a binned distribution lie below to that which 5% lie above."""
    cumulative = np.cumsum(mass) / mass.sum()
    low, high = (edges[1 + np.searchsorted(cumulative, part)] for part in (0.05, 0.95))
    return Window.from_logs(float(low), float(high))


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """Table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def write(path: Path, name: str, text: str) -> None:
    """Put a table between its markers in a page, by way of a temporary file."""
    page = path.read_text()
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = re.sub(f"{re.escape(begin)}.*{re.escape(end)}", lambda _: f"{begin}\n{text}\n{end}", page, flags=re.DOTALL)
    write_whole(path, page.encode())


def main() -> None:
    """Make both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=2000)
    parser.add_argument("--page", type=Path, default=Path("docs/design.md"))
    parser.add_argument("--exponents", type=float, nargs="*", default=EXPONENTS)
    parser.add_argument("--only", choices=("uniform", "digits"))
    settings = parser.parse_args()
    if settings.only != "digits":
        rows = []
        for exponent in settings.exponents:
            rows.append(uniform_row(exponent, settings.samples))
            print(rows[-1], flush=True)
        head = ["q", "state", "weight", "measured k", "abs(k - q)", "decades", "fit on its own window"]
        write(settings.page, "uniform", markdown(head, rows))
    if settings.only != "uniform":
        rows = [digits_row("cross-entropy", Composition("sigmoid", "bce"), settings.epochs)]
        print(rows[-1], flush=True)
        for exponent in (1.0, 1.25, 1.5):
            rows.append(digits_row(f"q = {exponent:g}", QMarginLoss(exponent), settings.epochs))
            print(rows[-1], flush=True)
        head = ["loss", "state", "accuracy %", "decades", "measured k", "95% interval", "predicted k", "inside"]
        head += ["power law?", "KS distances"]
        write(settings.page, "digits", markdown(head, rows))


if __name__ == "__main__":
    main()

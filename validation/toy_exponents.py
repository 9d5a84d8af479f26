"""Measured against predicted exponents of the toy model: writes ``docs/toy_exponents.md``.

python validation/toy_exponents.py
"""

import argparse
from pathlib import Path
from typing import Any

from critlearn.studies import ToyConfig, run_toy
from critlearn.whole_files import write_whole

ROWS = [
    ("sigmoid", "bce", "uniform(-0.3,2.3)"),
    ("tanh", "mse", "uniform(-0.3,2.3)"),
    ("softsign", "mse", "uniform(-0.3,2.3)"),
    ("softsign", "bce", "uniform(-0.3,2.3)"),
    ("arctan", "mse", "uniform(-0.3,2.3)"),
    ("sigmoid", "bce", "laplace(1,0.7)"),
    ("sigmoid", "bce", "normal(1,1)"),
]
COLUMNS = (
    "activation",
    "loss",
    "inputs",
    "w",
    "equilibrium",
    "measured k",
    "95% interval",
    "decades",
    "predicted",
    "on the window",
    "verdict",
)
HEADER = """# Toy model: measured and predicted exponents

Fluctuations of the bias of `y = w x + b`, two classes, {samples:,} samples, seed {seed}, trained to local learning
equilibrium. *Predicted* is the exact limit; for Laplace inputs of scale 0.7, `1 - 1/(0.7 w)`. *On the window* is what a
fit of the predicted density on the measured window gives.

Made by `python validation/toy_exponents.py` (part of `make validate`).

"""


def row(activation: str, loss: str, inputs: str, samples: int, seed: int) -> str:
    """One row of the table."""
    config = ToyConfig(activation=activation, loss=loss, inputs=inputs, samples=samples, seed=seed)
    record = run_toy(config).record
    bias = record["quantities"]["bias"]
    measured, predicted = bias["measured"], bias["predicted"]
    there = measured["exponent"] is not None
    cells = [
        activation,
        loss,
        f"`{inputs}`",
        f"{record['weight']:.3f}",
        "yes" if record["equilibrium"]["certified"] else "no",
        f"{measured['exponent']:.3f}" if there else "none",
        "{:.3f} to {:.3f}".format(*measured["ci95"]) if there else "",
        f"{measured['decades']:.1f}" if there else "",
        _limit(record, predicted),
        "" if predicted["exponent_on_measured_window"] is None else f"{predicted['exponent_on_measured_window']:.3f}",
        f"{measured['verdict']}: {measured['reason']}",
    ]
    return "| " + " | ".join(cells) + " |\n"


def _limit(record: dict[str, Any], predicted: dict[str, Any]) -> str:
    if record["config"]["inputs"].startswith("laplace"):
        return f"{1 - 1 / (0.7 * record['weight']):.3f}"
    return predicted["exact"] or "none over a decade"


def main() -> None:
    """Run every row and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/toy_exponents.md"))
    arguments = parser.parse_args()
    text = HEADER.format(samples=arguments.samples, seed=arguments.seed)
    text += f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}\n"
    for activation, loss, inputs in ROWS:
        text += row(activation, loss, inputs, arguments.samples, arguments.seed)
        print(text.splitlines()[-1], flush=True)
    write_whole(arguments.out, text.encode())


if __name__ == "__main__":
    main()

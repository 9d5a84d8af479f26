"""Make the pictures of the documentation, and keep the numbers that they show, from the runs of `make demo`.

python docs/make_images.py
"""

import json
from pathlib import Path

from critlearn.analysis import rows_of
from critlearn.figures.illustration import drawn_data, image
from critlearn.figures.quantity import density_figure
from critlearn.studies import ToyConfig, TwoClassConfig, run_toy, run_two_class
from critlearn.whole_files import write_whole

IMAGES = Path(__file__).parent / "images"
NAME = "demo"
QUANTITY = "bias"


def main() -> None:
    """Run both."""
    toy()
    flights()


def toy() -> None:
    """Write the density of the bias with its points and its record."""
    result = run_toy(ToyConfig(activation="tanh", loss="mse"))
    quantity = result.record["quantities"][QUANTITY]
    figure = density_figure(result.fluctuations[QUANTITY], quantity)
    kept = {name: quantity[name] for name in ("measured", "predicted", "agreement", "statement")}
    record = {name: result.record[name] for name in ("study", "config", "data", "equilibrium", "versions")}
    # Neither draws anything in this picture.
    record["equilibrium"] = {k: v for k, v in record["equilibrium"].items() if k not in ("losses", "scatter")}
    contents = {
        "png": image(figure, "png"),
        "csv": drawn_data(figure).to_csv(index=False, lineterminator="\n").encode(),
        "json": (json.dumps({**record, "quantity": kept}, indent=1, allow_nan=False) + "\n").encode(),
    }
    for form, content in contents.items():
        write_whole(IMAGES / f"{NAME}.{form}", content)
    print(quantity["statement"])


def flights() -> None:
    """Write the densities of a network on flights and the anatomy of their exponents, with its table."""
    analysis = run_two_class(TwoClassConfig())
    equilibrium = {name: analysis.record["equilibrium"][name] for name in ("status", "certified", "reason")}
    kept = {"data": analysis.record["data"], "equilibrium": equilibrium, "table": rows_of(analysis.record)}
    write_whole(IMAGES / "flights.png", image(analysis.plot(), "png"))
    write_whole(IMAGES / "anatomy.png", image(analysis.plot("anatomy"), "png"))
    write_whole(IMAGES / "flights.json", (json.dumps(kept, indent=1, allow_nan=False) + "\n").encode())
    print(analysis.summary())


if __name__ == "__main__":
    main()

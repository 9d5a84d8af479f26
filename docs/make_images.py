"""Make the picture of the documentation, and keep the numbers that it shows, from the run of `make demo`.

python docs/make_images.py
"""

import json
from pathlib import Path

from critlearn.figures.illustration import drawn_data, image
from critlearn.figures.run import density_figure
from critlearn.studies import ToyConfig, run_toy
from critlearn.whole_files import write_whole

IMAGES = Path(__file__).parent / "images"
NAME = "demo"
QUANTITY = "bias"


def main() -> None:
    """Run it, and write the density of the bias with its points and its record."""
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


if __name__ == "__main__":
    main()

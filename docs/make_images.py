"""Make the pictures of the documentation from a real run.

python docs/make_images.py
"""

from pathlib import Path

from critlearn.reports import density_figure
from critlearn.studies import TwoClassConfig, run_two_class

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Run the default study and keep the density of the output bias."""
    result = run_two_class(TwoClassConfig())
    quantity = result.record["quantities"]["output.bias"]
    IMAGES.mkdir(exist_ok=True)
    density_figure(result.fluctuations["output.bias"], quantity).savefig(IMAGES / "output_bias.png", dpi=120)
    print(quantity["statement"])


if __name__ == "__main__":
    main()

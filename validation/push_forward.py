"""Density of fluctuations on chosen variables against a histogram of 1e7 samples: writes ``docs/push_forward.md``.

python validation/push_forward.py
"""

import argparse
import sys
from pathlib import Path

from critlearn.whole_files import write_whole

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from reference.push_forward_check import chi_squared  # noqa: E402

HEADER = """# Push-forward of the data's density: predicted and counted

Networks with one, two and three Gaussian inputs and a hidden layer of tanh units, tanh output and squared error, the
target held at +1 (two inputs: the 2-2-1 network). The changes of as many trainable variables as inputs, chosen by
pivoted QR, are counted in boxes of {samples:,} samples and held against the integral over the box of the sum over
preimages of `p(boundary) / |det J_S|`. The chi-squared test must not reject at 0.01.

Made by `python validation/push_forward.py` (part of `make validate`).

| inputs | boxes | fluctuations counted in them | expected | largest deviation, standard errors | chi-squared p |
| --- | --- | --- | --- | --- | --- |
"""


def main() -> None:
    """Run every row and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "push_forward.md")
    arguments = parser.parse_args()
    text = HEADER.format(samples=arguments.samples)
    for inputs, boxes, nodes, half_width in ((1, 12, 4, 0.01), (2, 10, 3, 0.02), (3, 2, 2, 0.06)):
        p_value, (counts, expected) = chi_squared(inputs, arguments.samples, boxes, nodes, half_width)
        worst = (abs(counts - expected) / expected**0.5).max()
        total = f"{int(counts.sum()):,} | {expected.sum():,.0f}"
        text += f"| {inputs} | {boxes} | {total} | {worst:.2f} | {p_value:.3f} |\n"
        print(text.splitlines()[-1], flush=True)
    write_whole(arguments.out, text.encode())


if __name__ == "__main__":
    main()

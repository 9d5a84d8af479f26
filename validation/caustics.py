"""Caustics and densities of small networks against plain torch and Monte Carlo: writes ``docs/caustics_measured.md``.

python validation/caustics.py
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import scipy.stats
import torch
from torch import Tensor, nn

from critlearn import DualityMap, NeuralSystem
from critlearn.compositions import Composition
from critlearn.duality import RestrictedMap, caustics_on_path
from critlearn.network import feed_forward
from critlearn.whole_files import write_whole

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from reference.caustic_check import PlainFolds, line_integrals  # noqa: E402
from reference.networks import Pairs  # noqa: E402

HEADER = """# Caustics, measured

Networks with tanh, squared error and the target +1. Made by `python validation/caustics.py` (part of `make validate`).

## Two folds on a path

Changes of both hidden biases of 2-2-1 networks with random weights. Two folds of each path are known from plain torch;
the path is a chord between them, prolonged so that they are this share of it apart. Failures: one of the two is not
found within a hundredth of their distance, or not as a fold.

| distance, of the path | paths | failures |
| --- | --- | --- |
"""


def network(inputs: int, hidden: int, seed: int) -> DualityMap:
    """Network of one hidden layer with tanh."""
    data = Pairs(torch.zeros(2, inputs).double() + 0.3, torch.ones(2).double())
    generator = torch.Generator().manual_seed(seed)
    model = feed_forward(inputs, [hidden], "tanh", seed=seed)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(torch.randn(value.shape, generator=generator, dtype=torch.float64))
    return DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data))


def two_folds(distance: float, seed: int) -> bool:
    """Whether both of two known folds are found on a path."""
    generator = np.random.default_rng(seed)
    while True:
        phi = network(2, 2, int(generator.integers(10**6)))
        first, bias, second, last = (value.detach() for value in phi.system.model.parameters())
        plain = PlainFolds(first, bias, second[0], last[0])
        one = plain.fold(generator)
        if one is None:
            continue
        other = plain.along(one, distance)
        if 0.5 * distance < float((other - one).norm()) < 2 * distance:
            break
    share = generator.uniform(0.2, 0.7)
    gap = other - one
    start, end = one - share / distance * gap, one + (1 - share) / distance * gap
    found = caustics_on_path(RestrictedMap(phi, [4, 5], torch.tensor(1.0).double()), start, end)
    near = [
        [caustic for caustic in found if float((caustic.point - point).norm()) < 0.01 * float(gap.norm())]
        for point in (one, other)
    ]
    return all(len(caustics) == 1 and caustics[0].kind == "fold" for caustics in near)


def across(cells: int, half_width: float, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of samples in cells around caustics of one input, and their expectations from the density."""
    # The hidden bias: its changes have folds.
    restricted = RestrictedMap(network(1, 1, 3), [1], torch.tensor(1.0).double())
    generator = np.random.default_rng(1)
    centres: list[Tensor] = []
    while len(centres) < cells:
        ends = torch.from_numpy(generator.uniform(-2, 2, (2, 1)))
        for caustic in caustics_on_path(restricted, ends[0], ends[1], resolution=1e-2):
            # Around zero, where saturated units have their changes, the density is singular for another reason.
            apart = abs(float(caustic.value)) > 3 * half_width
            apart &= all(abs(float(caustic.value - other)) > 2 * half_width for other in centres)
            if caustic.kind == "fold" and apart and len(centres) < cells:
                centres.append(caustic.value + half_width * generator.uniform(-0.7, 0.7))
    stacked = torch.stack(centres)
    expected = samples * line_integrals(
        restricted, restricted.grid(-6.0, 6.0, 4001), stacked - half_width, stacked + half_width
    )
    torch_generator, counts, left = torch.Generator().manual_seed(7), np.zeros(len(stacked)), samples
    while left:
        size = min(left, 10**6)
        changes = restricted(torch.randn(size, 1, generator=torch_generator, dtype=torch.float64))
        counts += [int(((changes - centre).abs() <= half_width).sum()) for centre in stacked]
        left -= size
    return counts, expected


def total(inputs: int, directions: int) -> float:
    """Integral of the density over the whole support: changes of the weights of a single tanh unit, of 1 or 2 inputs.

    They are ``g(w x) x``, so that the support is a star: along each direction up to the largest of ``g(a r) r``.
    """
    model = nn.Linear(inputs, 1).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.3, -0.7][:inputs]], dtype=torch.float64))
        model.bias.fill_(0.2)
    data = Pairs(torch.zeros(2, inputs).double() + 0.1, torch.ones(2).double())
    phi = DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data))
    restricted = RestrictedMap(phi, list(range(inputs)), data.t[0])
    grid = restricted.grid(-7.0, 7.0, {1: 4001, 2: 281}[inputs])
    rays = {
        1: [(np.array([sign]), 1.0) for sign in (-1.0, 1.0)],
        2: [
            (np.array([math.cos(angle), math.sin(angle)]), 2 * math.pi / directions)
            for angle in 2 * math.pi * (np.arange(directions) + 0.5) / directions
        ],
    }[inputs]
    lengths = np.logspace(-10, 1, 4001)
    sums = 0.0
    for ray, weight in rays:
        radii = restricted(torch.from_numpy(lengths[:, None] * ray)).norm(dim=1).numpy()
        # The largest radius between two of them differs by the square of their distance.
        best = int(radii.argmax())
        peak = np.polyfit(np.log(lengths[best - 1 : best + 2]), radii[best - 1 : best + 2], 2)
        edge = peak[2] - peak[1] ** 2 / (4 * peak[0])
        ends = edge * np.concatenate([np.logspace(-9, 0, 19)])
        angle, share = np.polynomial.legendre.leggauss(10)
        # All pieces of a ray at once.
        low, high = ends[:-1, None], ends[1:, None]
        radius = ((low + high) / 2 + (high - low) / 2 * np.sin(angle * math.pi / 2)).reshape(-1)
        factor = (share * math.pi / 2 * np.cos(angle * math.pi / 2) * (high - low) / 2).reshape(-1)
        values = torch.from_numpy(radius[:, None] * ray)
        logs = restricted.log_density(values, grid, lambda point: float(-0.5 * point @ point)).numpy()
        sums += float((np.exp(logs) * factor * radius ** (inputs - 1)).sum()) * weight * (2 * math.pi) ** (-inputs / 2)
    return sums


def main() -> None:
    """Run every row and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=15)
    parser.add_argument("--samples", type=int, default=4 * 10**6)
    parser.add_argument("--directions", type=int, default=8)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "caustics_measured.md")
    arguments = parser.parse_args()
    text = HEADER
    for distance in (1e-1, 1e-2, 1e-3, 1e-4):
        failures = sum(not two_folds(distance, seed) for seed in range(arguments.paths))
        text += f"| {distance:.0e} | {arguments.paths} | {failures} |\n"
        print(text.splitlines()[-1], flush=True)
    text += (
        "\n## Cells across caustics\n\nIn one dimension only. Changes of the hidden bias, counted in a cell around a "
    )
    text += f"fold\nof {arguments.samples:,} samples, and expected from the density, whose integral is split at the "
    text += "caustic.\n"
    text += "The chi-squared test must not reject at 0.01.\n\n"
    text += "| inputs | cells | counted | expected | largest deviation, standard errors | chi-squared p |\n"
    text += "| --- | --- | --- | --- | --- | --- |\n"
    counts, expected = across(1, 0.01, arguments.samples)
    deviations = (counts - expected) / np.sqrt(expected * (1 - expected / arguments.samples))
    p_value = scipy.stats.chi2.sf((deviations**2).sum(), len(counts))
    sums = f"{int(counts.sum()):,} | {expected.sum():,.0f}"
    text += f"| 1 | {len(counts)} | {sums} | {np.abs(deviations).max():.2f} | {p_value:.3f} |\n"
    print(text.splitlines()[-1], flush=True)
    text += (
        "\n## Integrals over the whole support\n\nChanges of the weights of a single unit, `g(w x) x`: the support is"
    )
    text += "\nknown in every direction. Goal: 1 within 1e-3.\n\n| inputs | integral |\n| --- | --- |\n"
    for inputs in (1, 2):
        text += f"| {inputs} | {total(inputs, arguments.directions):.6f} |\n"
        print(text.splitlines()[-1], flush=True)
    write_whole(arguments.out, text.encode())


if __name__ == "__main__":
    main()

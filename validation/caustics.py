"""Caustics and densities of small networks against plain torch and Monte Carlo: writes ``docs/caustics_measured.md``.

python validation/caustics.py
"""

import argparse
import itertools
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.stats
import sympy
import torch
from torch import Tensor, nn

from critlearn import DualityMap, NeuralSystem
from critlearn.compositions import Composition
from critlearn.duality import RestrictedMap, caustic_curves, caustics_on_path
from critlearn.network import feed_forward
from critlearn.whole_files import write_whole

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from reference.caustic_check import PlainFolds, line_integrals  # noqa: E402
from reference.networks import Pairs  # noqa: E402

LINES = 4
"""Lines through a box in each direction: the integral over them is exact for polynomials of degree 7."""

GRID = {1: 4001, 2: 241, 3: 41}
"""Steps of the grid of starts, by the number of inputs."""

CELLS = {1: (8, 1, 5e-3), 2: (2, 3, 1e-2), 3: (1, 3, 3e-2)}
"""Number of networks, of boxes in each at most, and half their width, by the number of inputs."""

STARTS = np.logspace(-3, 0.85, 60)
"""Distances from zero of starts along a ray, for the integral in three dimensions."""

PATHS = 20
"""Random paths of a network on which folds are looked for: some have none there."""

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


def across(inputs: int, cells: int, half_width: float, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of samples in boxes around folds of the hidden biases, and their expectations from the density.

    Lines through a box run along the coordinate nearest to the direction across the caustic, at the nodes of Gauss and
    Legendre in the others.
    """
    phi = network(inputs, inputs, seed)
    restricted = RestrictedMap(phi, list(range(inputs * inputs, inputs * inputs + inputs)), torch.tensor(1.0).double())
    generator = np.random.default_rng(seed)
    centres: list[Tensor] = []
    along: list[int] = []
    for _ in range(PATHS):
        ends = torch.from_numpy(generator.uniform(-1.5, 1.5, (2, inputs)))
        for caustic in caustics_on_path(restricted, ends[0], ends[1], resolution=1e-2):
            # Around zero, where saturated units have their changes, the density is singular for another reason.
            apart = float(caustic.value.abs().min()) > 3 * half_width
            apart &= all(float((caustic.value - other).abs().max()) > 2 * half_width for other in centres)
            if caustic.kind == "fold" and apart and len(centres) < cells:
                across_it = torch.linalg.svd(restricted.jacobian(caustic.point)).U[:, -1]
                along.append(int(across_it.abs().argmax()))
                centres.append(caustic.value + half_width * torch.from_numpy(generator.uniform(-0.7, 0.7, inputs)))
    if not centres:
        return np.zeros(0), np.zeros(0)
    stacked = torch.stack(centres)
    nodes, weights = np.polynomial.legendre.leggauss(LINES)
    shares = np.array(list(itertools.product(nodes, repeat=inputs - 1))).reshape(LINES ** (inputs - 1), inputs - 1)
    factors = np.array([np.prod(part) for part in itertools.product(weights * half_width, repeat=inputs - 1)])
    lower, upper = [], []
    for centre, axis in zip(stacked, along, strict=True):
        others = [place for place in range(inputs) if place != axis]
        for share in shares:
            point = centre.clone()
            point[others] += half_width * torch.from_numpy(share)
            step = torch.zeros(inputs, dtype=torch.float64)
            step[axis] = half_width
            lower.append(point - step)
            upper.append(point + step)
    grid = restricted.grid(-6.0, 6.0, GRID[inputs])
    lines = line_integrals(restricted, grid, torch.stack(lower), torch.stack(upper)).reshape(len(centres), -1)
    expected = samples * (lines * factors).sum(axis=1)
    torch_generator, counts, left = torch.Generator().manual_seed(seed), np.zeros(len(centres)), samples
    while left:
        size = min(left, 10**6)
        changes = restricted(torch.randn(size, inputs, generator=torch_generator, dtype=torch.float64))
        counts += [int(((changes - centre).abs() <= half_width).all(dim=1).sum()) for centre in stacked]
        left -= size
    return counts, expected


class Normal:
    """Map of the plane given by a formula."""

    def __init__(self, formula: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
        self.formula = formula

    def __call__(self, points: Tensor) -> Tensor:
        """Images of points (point, 2)."""
        return torch.stack(self.formula(points[:, 0], points[:, 1]), dim=1)

    def jacobians(self, points: Tensor) -> Tensor:
        """Jacobians by automatic differentiation."""
        return torch.func.vmap(torch.func.jacfwd(lambda point: torch.stack(self.formula(point[0], point[1]))))(points)


PLANE: dict[str, tuple[Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], str, int, list[tuple[float, float]]]] = {
    "Whitney's pleat, (x, y^3 + x y)": (lambda x, y: (x, y**3 + x * y), "x + 3*y**2", 1, [(0.0, 0.0)]),
    "lips, (x^3 / 3 + x (y^2 - 1/4), y)": (
        lambda x, y: (x**3 / 3 + x * (y**2 - 0.25), y),
        "x**2 + y**2 - Rational(1, 4)",
        1,
        [(0.0, 0.5), (0.0, -0.5)],
    ),
    "deltoid, z^2 + conj(z)": (
        lambda x, y: (x**2 - y**2 + x, 2 * x * y - y),
        "x**2 + y**2 - Rational(1, 4)",
        1,
        [(0.5 * math.cos(angle), 0.5 * math.sin(angle)) for angle in (0.0, 2 * math.pi / 3, 4 * math.pi / 3)],
    ),
    "(x, x sin y + y)": (lambda x, y: (x, x * torch.sin(y) + y), "1 + x*cos(y)", 1, [(-1.0, 0.0)]),
}
"""Maps of the plane, their caustics as zeros of an expression, curves and cusps in [-1.45, 1.55]^2."""


def plane_rows() -> list[str]:
    """A line for each map of the plane: curves and cusps that were found, and their distances from the truth."""
    rows = []
    x, y = sympy.symbols("x y", real=True)
    for name, (formula, caustic, curves, cusps) in PLANE.items():
        found = caustic_curves(Normal(formula), -1.45, 1.55)
        # The determinant of the formula's Jacobian, by SymPy, vanishes where the expression does.
        expression = sympy.sympify(caustic, locals={"x": x, "y": y})
        slope = sympy.sqrt(sum(sympy.diff(expression, symbol) ** 2 for symbol in (x, y)))
        distance = sympy.lambdify((x, y), sympy.Abs(expression) / slope, "mpmath")
        far = max(float(distance(*point)) for curve in found.curves for point in curve.points.tolist())
        gaps = [min(math.dist(cusp.point.tolist(), truth) for cusp in found.cusps) for truth in cusps]
        numbers = f"{len(found.curves)} of {curves} | {len(found.cusps)} of {len(cusps)}"
        rows.append(f"| {name} | {numbers} | {far:.1e} | {max(gaps):.1e} |\n")
    return rows


def total(inputs: int, directions: int) -> float:
    """Integral of the density over the whole support: changes of the weights of a single tanh unit, of 1 to 3 inputs.

    They are ``g(w x) x``, so that the support is a star: along each direction up to the largest of ``g(a r) r``.
    """
    model = nn.Linear(inputs, 1).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.3, -0.7, 0.4][:inputs]], dtype=torch.float64))
        model.bias.fill_(0.2)
    data = Pairs(torch.zeros(2, inputs).double() + 0.1, torch.ones(2).double())
    phi = DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data))
    restricted = RestrictedMap(phi, list(range(inputs)), data.t[0])
    grid = restricted.grid(-7.0, 7.0, {1: 4001, 2: 281, 3: 2}[inputs])
    rays = {
        1: [(np.array([sign]), 1.0) for sign in (-1.0, 1.0)],
        2: [
            (np.array([math.cos(angle), math.sin(angle)]), 2 * math.pi / directions)
            for angle in 2 * math.pi * (np.arange(directions) + 0.5) / directions
        ],
        # Two heights, and half as many directions around the axis at each of them.
        3: [
            (
                np.array([math.cos(angle) * math.sqrt(2 / 3), math.sin(angle) * math.sqrt(2 / 3), height / 3**0.5]),
                4 * math.pi / (2 * (directions // 2)),
            )
            for height in (-1.0, 1.0)
            for angle in 2 * math.pi * (np.arange(directions // 2) + 0.5) / (directions // 2)
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
        # A grid of three dimensions is too coarse at the edges: there starts lie on the line through the preimages.
        line = np.concatenate([STARTS, -STARTS])[:, None] * ray
        starts = torch.from_numpy(line) if inputs == 3 else grid
        logs = restricted.log_density(values, starts, lambda point: float(-0.5 * point @ point)).numpy()
        sums += float((np.exp(logs) * factor * radius ** (inputs - 1)).sum()) * weight * (2 * math.pi) ** (-inputs / 2)
    return sums


def main() -> None:
    """Run every row and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=15)
    parser.add_argument("--samples", type=int, default=2 * 10**6)
    parser.add_argument("--directions", type=int, default=8)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "caustics_measured.md")
    arguments = parser.parse_args()
    text = HEADER
    for distance in (1e-1, 1e-2, 1e-3, 1e-4):
        failures = sum(not two_folds(distance, seed) for seed in range(arguments.paths))
        text += f"| {distance:.0e} | {arguments.paths} | {failures} |\n"
        print(text.splitlines()[-1], flush=True)
    text += f"""
## Curves and cusps

Maps of the plane whose caustics and cusps have closed forms, in the square from -1.45 to 1.55. Distances are the
largest, of a point of a curve from the caustic and of a cusp from its place.

| map | curves | cusps | distance from the caustic | of cusps |
| --- | --- | --- | --- | --- |
{"".join(plane_rows())}
## Cells across caustics

Changes of the hidden biases of networks with as many hidden units as inputs, counted in boxes around folds of
{arguments.samples:,} samples, and expected from the density, whose integrals along lines through a box are split at the
caustics. The chi-squared test must not reject at 0.01.

| inputs | cells | counted | expected | largest deviation, standard errors | chi-squared p |
| --- | --- | --- | --- | --- | --- |
"""
    for inputs, (networks, cells, half_width) in CELLS.items():
        pairs = (across(inputs, cells, half_width, arguments.samples, seed) for seed in range(3, 100))
        some = itertools.islice((pair for pair in pairs if len(pair[0])), networks)
        counts, expected = (np.concatenate(part) for part in zip(*some, strict=True))
        deviations = (counts - expected) / np.sqrt(expected * (1 - expected / arguments.samples))
        p_value = scipy.stats.chi2.sf((deviations**2).sum(), len(counts))
        sums = f"{int(counts.sum()):,} | {expected.sum():,.0f}"
        text += f"| {inputs} | {len(counts)} | {sums} | {np.abs(deviations).max():.2f} | {p_value:.3f} |\n"
        print(text.splitlines()[-1], counts, expected.round(1), flush=True)
    text += """
## Integrals over the whole support

Changes of the weights of a single unit, `g(w x) x`: the support is known in every direction. Starts of preimages lie on
a grid, in three dimensions on the ray. Goal: 1 within 1e-3.

| inputs | integral |
| --- | --- |
"""
    for inputs in (1, 2, 3):
        text += f"| {inputs} | {total(inputs, arguments.directions):.6f} |\n"
        print(text.splitlines()[-1], flush=True)
    write_whole(arguments.out, text.encode())


if __name__ == "__main__":
    main()

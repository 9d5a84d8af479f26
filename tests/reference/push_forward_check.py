"""Push-forward densities held against histograms of Monte Carlo samples."""

import itertools
import math

import numpy as np
import scipy.stats
import torch
from torch import Tensor

from critlearn.compositions import Composition
from critlearn.duality import DualityMap, RestrictedMap, choose_variables
from critlearn.network import NeuralSystem, feed_forward
from reference.networks import Pairs


def small_network(inputs: int, seed: int = 4) -> tuple[DualityMap, Pairs]:
    """Network of two hidden units (one for a single input) with tanh and squared error, one class."""
    data = Pairs(torch.zeros(2, inputs).double() + 0.3, torch.ones(2).double())
    model = feed_forward(inputs, [max(2, inputs)] if inputs > 1 else [1], "tanh", seed=seed)
    return DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data)), data


def log_normal_density(point: Tensor) -> float:
    """Standard Gaussian boundary density."""
    return float(-0.5 * point @ point - 0.5 * len(point) * math.log(2 * math.pi))


def chi_squared(inputs: int, samples: int, boxes: int, nodes: int, half_width: float) -> tuple[float, np.ndarray]:
    """p-value of counts in boxes of changes against probabilities integrated from the push-forward density.

    Boxes lie around the changes at fixed boundary points; probabilities come from Gauss-Legendre quadrature.
    """
    phi, data = small_network(inputs)
    chosen = choose_variables(phi.jacobian(data.x[0], data.t[0]))
    restricted = RestrictedMap(phi, chosen, data.t[0])
    grid = restricted.grid(-5.0, 5.0, {1: 2001, 2: 161, 3: 31}[inputs])
    angles = torch.linspace(0.3, 6.0, boxes, dtype=torch.float64)
    centres = restricted(torch.stack([0.8 * torch.cos(angles + 2 * axis) for axis in range(inputs)], dim=1))
    at, weights = np.polynomial.legendre.leggauss(nodes)
    probabilities = []
    for centre in centres:
        total = 0.0
        for combination in itertools.product(range(nodes), repeat=inputs):
            value = centre + half_width * torch.tensor([at[i] for i in combination], dtype=torch.float64)
            log_density = restricted.log_density(value, grid.starts(value), log_normal_density)
            total += math.prod(weights[i] for i in combination) * math.exp(log_density)
        probabilities.append(total * half_width**inputs)
    generator = torch.Generator().manual_seed(7)
    counts, left = np.zeros(boxes), samples
    while left:
        size = min(left, 10**6)
        changes = restricted(torch.randn(size, inputs, generator=generator, dtype=torch.float64))
        counts += [int(((changes - centre).abs() <= half_width).all(dim=1).sum()) for centre in centres]
        left -= size
    expected = samples * np.array(probabilities)
    # Boxes are small, so that their counts are as good as independent.
    statistic = float((((counts - expected) ** 2) / (expected * (1 - expected / samples))).sum())
    return float(scipy.stats.chi2.sf(statistic, boxes)), np.stack([counts, expected])

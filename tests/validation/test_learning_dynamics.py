"""The predictions of the studies of learning over time, held against what is known without them."""

import numpy as np
import pytest
import torch
from torch import nn

from reference.time_series import KESTEN
from reference.validation_scripts import script


def test_kesten_exponents_of_single_samples_are_those_of_the_table() -> None:
    module = script("learning_dynamics")
    for step, alpha in KESTEN.items():
        assert module.tail_index.kesten_alpha(step, 1) == pytest.approx(alpha, abs=1e-3)


def test_kesten_exponents_of_mini_batches_balance_a_large_draw() -> None:
    module = script("learning_dynamics")
    # For 4 samples a closed form is not at hand: the moment is that of a draw.
    alpha = module.tail_index.kesten_alpha(1.2, 4)
    square = np.random.default_rng(0).chisquare(4, 4_000_000) / 4
    moments = np.abs(1 - 1.2 * square) ** alpha
    assert moments.mean() == pytest.approx(1, abs=5 * moments.std() / 2000)


def test_sharpness_is_the_largest_eigenvalue_of_the_hessian() -> None:
    module = script("learning_dynamics")
    torch.manual_seed(0)
    x, t = torch.randn(20, 3), torch.randn(20, 2)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    names = [name for name, _ in network.named_parameters()]
    variables = list(network.parameters())

    def loss(*given: torch.Tensor) -> torch.Tensor:
        outputs = torch.func.functional_call(network, dict(zip(names, given, strict=True)), x)
        return ((outputs - t) ** 2).sum(1).mean()

    rows = torch.autograd.functional.hessian(loss, tuple(variables))
    whole = torch.cat(
        [torch.cat([b.reshape(v.numel(), -1) for b in row], 1) for v, row in zip(variables, rows, strict=True)]
    )
    vector = nn.functional.normalize(torch.randn(len(whole)), dim=0)
    for _ in range(20):
        value, vector = module.edge_of_stability.sharpness(loss(*variables), variables, vector)
    assert value == pytest.approx(float(torch.linalg.eigvalsh(whole)[-1]), rel=1e-3)

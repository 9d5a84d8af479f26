"""Torch's own activations as callables: values and error signals are torch's, limits are exact."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from critlearn.compositions import Composition

FUNCTIONS: list[Callable[[Tensor], Tensor]] = [
    nn.GELU(), nn.GELU(approximate="tanh"), nn.SiLU(), nn.Mish(), nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.ELU(1.5),
    nn.SELU(), nn.CELU(0.5), nn.Softplus(beta=2.0), nn.LogSigmoid(), nn.Softsign(), nn.Hardtanh(-2.0, 3.0),
    nn.Hardsigmoid(), nn.Hardswish(), nn.Tanhshrink(), nn.Sequential(nn.Tanh(), nn.Softplus()),
    lambda y: torch.clamp(y, -1.0, 2.0), lambda y: y.clamp(min=0.25), lambda y: torch.nn.functional.leaky_relu(y, 0.1),
    lambda y: torch.where(y > 0, torch.log1p(y), torch.expm1(y)),
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
def test_errors_are_those_of_automatic_differentiation(function: Callable[[Tensor], Tensor]) -> None:
    # None of the places where a derivative jumps.
    y = torch.tensor([-7.3, -3.1, -1.7, -0.6, -0.1, 0.2, 0.9, 1.8, 2.6, 5.7], dtype=torch.float64, requires_grad=True)
    target = torch.tensor(0.125, dtype=torch.float64)
    ((function(y) - target) ** 2).sum().backward()
    assert y.grad is not None
    composition = Composition(function, "mse")
    if composition.activation.bounded:
        lower, upper = composition.activation.range
        y.grad = None
        ((function(y) - (upper if upper < np.inf else lower)) ** 2).sum().backward()
        errors = composition.output_error(y.detach().numpy(), np.array(1.0))
    else:
        errors = composition.output_error(y.detach().numpy(), target.numpy())
    assert y.grad is not None
    # Torch's derivative of hardsigmoid has 1/6 in single precision.
    np.testing.assert_allclose(errors, y.grad.numpy(), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(
    ("function", "exact", "place"),
    [
        (nn.GELU(), "0", -0.7517915246935645),  # stationary: Phi(y) + y phi(y) = 0
        (nn.SiLU(), "0", -1.2784645427610738),  # 1 + exp(-y) + y exp(-y) = 0
        (nn.Tanhshrink(), "1/2", 0.0),  # f' = tanh(y)^2
    ],
)
def test_zeros_of_the_slope_are_found(function: nn.Module, exact: str, place: float) -> None:
    found = {round(side.place, 6): side.exact for side in Composition(function, "mse").all_asymptotes()}
    assert found[round(place, 6)] == exact

"""Error signals on arrays against automatic differentiation, where that does not cancel, and their targets."""

import numpy as np
import pytest
import torch

from critlearn.compositions import Composition, find_activation, find_loss
from critlearn.compositions.error_signal import checked_target, state_of
from critlearn.errors import InvalidInputError

PAIRS = [
    ("tanh", "mse", 1),
    ("tanh", "bce", -1),
    ("softsign", "focal", 1),
    ("exponential-softsign", "cauchy", -1),
    ("identity", "huber", 0.43),
    ("square", "mse", 0.7),
    ("elu", "log-cosh", -0.2),
    ("tanh", "f**2*(1-t*f)", 1),  # depends on the output itself, and rises towards its target in places
    ("y + sin(y)", "abs(e)**3", 0.5),
]


@pytest.mark.parametrize(("activation", "loss", "t"), PAIRS)
def test_signs_logarithms_and_their_derivatives(activation: str, loss: str, t: float) -> None:
    composition = Composition(activation, loss)
    y = np.array([-2.3, -0.6, 0.35, 1.1, 2.4])
    state = state_of(composition.activation, composition.loss, y, t)
    h = torch.from_numpy(y).requires_grad_()
    (slope,) = torch.autograd.grad(composition.value(h, torch.tensor(float(t))).sum(), h, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), h)
    np.testing.assert_allclose(state.sign() * np.exp(state.log_error()), slope.detach().numpy(), rtol=1e-6)
    first, _ = state.derivatives()
    # (ln|h'|)' = h''/h'
    np.testing.assert_allclose(first, (second / slope.detach()).numpy(), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("activation", "loss", "t"), PAIRS)
def test_second_derivatives_are_those_of_the_first(activation: str, loss: str, t: float) -> None:
    composition = Composition(activation, loss)
    y, step = np.array([-2.3, -0.6, 0.35, 1.1, 2.4]), 1e-5
    first = [state_of(composition.activation, composition.loss, y + d, t).derivatives()[0] for d in (-step, step)]
    _, second = state_of(composition.activation, composition.loss, y, t).derivatives()
    np.testing.assert_allclose(second, (first[1] - first[0]) / (2 * step), rtol=1e-4, atol=1e-6)


def test_targets_of_classes() -> None:
    sigmoid, bce = find_activation("sigmoid"), find_loss("bce")
    assert checked_target(sigmoid, bce, np.array([0.0, 1.0, -1.0])).tolist() == [-1, 1, -1]
    with pytest.raises(InvalidInputError, match="classes -1 and"):
        checked_target(find_activation("tanh"), bce, np.array([0.0]))
    assert checked_target(find_activation("identity"), find_loss("mse"), 0.3) == 0.3

"""Error signals and slopes over the whole catalogue against plain definitions at high precision."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch

from critlearn.compositions import ACTIVATIONS, LOSSES, Composition, find_loss
from reference import mpmath_oracle as oracle

MARGINS = [0.1, 0.5, 1.0, 3.0, 10.0, 19.0, 20.5, 36.0, 40.0, 100.0, 350.0, 700.0]
LOSS_NAMES = [*LOSSES, "power:3", "power:1.5"]
# Every activation with some losses and every loss with some activations: all pairs at 1,400 digits would take minutes.
PAIRS = [
    (activation, loss)
    for activation in ACTIVATIONS
    for loss in LOSS_NAMES
    if (activation in ("tanh", "softsign", "identity", "exponential-softsign") or loss in ("mse", "bce", "power:1.5"))
    and (ACTIVATIONS[activation].bounded or not find_loss(loss).needs_saturation)
]


@pytest.mark.parametrize(("activation", "loss"), PAIRS)
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_log_output_error_matches_the_definition(activation: str, loss: str, library: str) -> None:
    composition = Composition(activation, loss)
    # The distance from a target that is the limit of an activation with only one is found by subtraction.
    for t in (1,) if activation == "elu" else (-1, 1):
        y = np.array([side * margin for margin in MARGINS for side in (1, -1)])
        given = torch.from_numpy(y) if library == "torch" else y
        sign, log_size = (np.asarray(part) for part in composition.log_output_error(given, t))
        for i, value in enumerate(y):
            true = oracle.output_error(activation, loss, value, t)
            if true == 0:
                assert log_size[i] == -math.inf or sign[i] == 0
                continue
            # Difference of logarithms = relative difference of the error signal, which need not be a float.
            assert abs(log_size[i] - float(mp.log(abs(true)))) < 1e-6
            assert sign[i] == mp.sign(true)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_log_slope_matches_the_definition(name: str) -> None:
    y = np.array([side * margin for margin in MARGINS for side in (1, -1)])
    ours = ACTIVATIONS[name].log_slope(torch.from_numpy(y)).numpy()
    with mp.workdps(50):
        true = [float(mp.log(abs(oracle.SLOPE[name](mp.mpf(value))))) for value in y]
    np.testing.assert_allclose(ours, true, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "erf"])
def test_value_matches_the_definition(name: str) -> None:
    y = np.array([-700.0, -3.0, -1e-9, 0.0, 1e-9, 0.3, 3.0, 700.0])
    with mp.workdps(400):
        true = [float(oracle.VALUE[name](mp.mpf(value))) for value in y]
    np.testing.assert_allclose(ACTIVATIONS[name](y), true, rtol=1e-14)


def test_error_signal_where_ordinary_formulas_give_zero() -> None:
    error = Composition("sigmoid", "bce").output_error(torch.tensor([20.0, 40.0], dtype=torch.float64), 1)
    np.testing.assert_allclose(error.numpy(), [-2.0611536e-9, -4.248354e-18], rtol=1e-6)
    single = Composition("tanh", "mse").output_error(torch.tensor([10.0], dtype=torch.float32), 1)
    assert single.dtype == torch.float32
    # 2 (1 - tanh y) sech^2 y = 16 exp(-4 y) up to exp(-2 y)
    np.testing.assert_allclose(single.item(), -16 * math.exp(-40), rtol=1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softsign", "arctan", "isru"])
@pytest.mark.parametrize("margin", [-30.0, 0.3, 5.0, 20.0, 300.0])
def test_cross_entropy_keeps_its_value_far_out(activation: str, margin: float) -> None:
    with mp.workdps(oracle.DIGITS):
        y = mp.mpf(margin)
        width = abs(oracle.target_value(activation, 1) - oracle.target_value(activation, -1))
        true = float(mp.log(width / oracle.opposite(activation, y, 1)))
    assert Composition(activation, "bce").value(np.array([margin]), 1)[0] == pytest.approx(true, rel=1e-12)


def test_sigmoid_accepts_its_own_coding_of_the_classes() -> None:
    composition = Composition("sigmoid", "bce")
    y = torch.tensor([-2.0, 5.0])
    assert torch.equal(composition.output_error(y, 0), composition.output_error(y, -1))


@pytest.mark.parametrize(("activation", "loss"), PAIRS)
def test_loss_value_is_the_integral_of_the_error(activation: str, loss: str) -> None:
    composition = Composition(activation, loss)
    low, high = -1.7, 2.9
    integral, _ = mp.quad(
        lambda x: oracle.loss_slope(activation, loss, x, 1) * oracle.SLOPE[activation](x),
        # With the places where an output meets its target, at which a power of the residual has a kink.
        [low, -1, 0, mp.log(mp.e - 1), 1, mp.sinh(1), mp.e - 1, 2, high],
        error=True,
    )
    difference = composition.value(np.array([high]), 1) - composition.value(np.array([low]), 1)
    assert difference[0] == pytest.approx(float(integral), rel=1e-6)


def test_slope_of_the_error_signal_survives_automatic_differentiation_at_zero() -> None:
    # Folding by abs() would lose it: its derivative at 0 is 0.
    y = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    Composition("sigmoid", "bce").output_error(y, 1).backward()
    assert y.grad is not None
    assert y.grad.item() == pytest.approx(0.25)

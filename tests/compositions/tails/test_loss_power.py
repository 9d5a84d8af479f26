"""Powers as which losses act, against the slopes of their logarithms close by and far away."""

import numpy as np
import pytest
import sympy as sp

from critlearn.compositions import LOSSES, find_loss
from critlearn.compositions.loss import log_opposite, log_residual
from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.tails.loss_power import loss_power, loss_power_at_limit


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if not loss.needs_saturation])
@pytest.mark.parametrize("vanishing", [True, False])
def test_powers_are_slopes_of_the_logarithm(name: str, vanishing: bool) -> None:
    form = find_loss(name).log_derivative
    power = loss_power(form, log_residual, vanishing=vanishing)
    at = np.array([-18.0, -17.0] if vanishing else [17.0, 18.0])
    if power is None:
        assert name == "welsch"  # exp(-e^2)
        return
    values = evaluate(form + 0 * log_residual, {log_residual: at})
    assert values[1] - values[0] == pytest.approx(float(power), abs=1e-6)


def test_powers_at_the_limit_of_an_output() -> None:
    forms = find_loss("power:3").forms(1)
    assert loss_power_at_limit(forms, 1.0, 1.0) == 2  # |e|^2
    assert loss_power_at_limit(forms, 0.5, 1.0) == 0  # the residual tends to a constant
    assert loss_power_at_limit(forms, float("inf"), 1.0) == 2
    assert loss_power_at_limit(forms, float("nan"), 1.0) is None


def test_cross_entropy_at_the_wrong_class_is_an_inverse_power() -> None:
    # H = -ln(share of the right side), dH/df = 1 / distance from the other class
    assert loss_power(find_loss("bce").log_derivative, log_opposite, vanishing=True) == -1
    assert loss_power(sp.exp(log_residual), log_residual, vanishing=False) is None

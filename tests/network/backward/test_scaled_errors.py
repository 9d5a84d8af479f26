"""Errors in units of their own against the same products in mpmath, far below the smallest double."""

import math

import mpmath as mp
import pytest
import torch
from torch import Tensor

from critlearn.network.backward.scaled_errors import ScaledErrors, from_logs
from critlearn.network.checks.finiteness import NonFiniteError


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def size_of(errors: ScaledErrors, sample: int, unit: int) -> mp.mpf:
    """One error with its sign, at any size."""
    logs = errors.logs
    log = math.log(abs(float(errors.values[sample, unit]))) if logs is None else float(logs[sample, unit])
    return mp.sign(float(errors.values[sample, unit])) * mp.e ** (mp.mpf(log) + mp.mpf(float(errors.log_scale[sample])))


def test_errors_come_back_from_their_logarithms() -> None:
    sign, logs = drawn(4, 3).sign(), 900 * drawn(4, 3, seed=1)
    errors = from_logs(sign, logs, torch.tensor([0.0, -2000.0, 3.0, 1.5], dtype=torch.float64), torch.float64)
    assert float(errors.values.abs().amax()) <= 1
    assert bool((errors.values.sign() == sign).all())
    for sample, unit, start in ((0, 0, 0.0), (1, 2, -2000.0), (2, 1, 3.0)):
        expected = mp.sign(float(sign[sample, unit])) * mp.e ** (mp.mpf(float(logs[sample, unit])) + start)
        assert abs(size_of(errors, sample, unit) / expected - 1) < 1e-10


def test_an_error_of_zero_stays_zero_and_nothing_else_does() -> None:
    sign = torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    logs = torch.tensor([[0.0, 5.0, -5000.0], [1.0, 2.0, 3.0]], dtype=torch.float64)
    errors = from_logs(sign, logs, torch.zeros(2, dtype=torch.float64), torch.float64)
    assert errors.values[0].sign().tolist() == [1.0, 0.0, -1.0]
    assert errors.values[1].tolist() == [0.0, 0.0, 0.0]
    assert errors.logs is not None
    assert float(errors.logs[0, 2] + errors.log_scale[0]) == pytest.approx(-5000, rel=1e-12)


def test_a_logarithm_that_is_no_number_is_refused_with_its_sample() -> None:
    logs = torch.tensor([[0.0, 0.0], [math.nan, 0.0]], dtype=torch.float64)
    with pytest.raises(NonFiniteError, match="sample 1"):
        from_logs(torch.ones(2, 2, dtype=torch.float64), logs, torch.zeros(2, dtype=torch.float64), torch.float64)


def test_thirty_products_with_slopes_of_1e_minus_100_are_kept() -> None:
    errors = from_logs(drawn(5, 4).sign(), drawn(5, 4), torch.zeros(5, dtype=torch.float64), torch.float64)
    expected = [[size_of(errors, sample, unit) for unit in range(4)] for sample in range(5)]
    for step in range(30):
        slope = -230.0 + drawn(5, 4, seed=step + 1)
        errors = errors.through_activation(slope, -1.0, torch.float64)
        for sample in range(5):
            for unit in range(4):
                expected[sample][unit] *= -(mp.e ** mp.mpf(float(slope[sample, unit])))
    with mp.workdps(30):
        for sample in range(5):
            for unit in range(4):
                assert abs(size_of(errors, sample, unit) / expected[sample][unit] - 1) < 1e-9
    assert float((errors.log_scale).amax()) < -6000


def test_weights_act_as_a_matrix_where_all_terms_of_a_sum_have_underflowed() -> None:
    # The second input of the layer is joined to the small errors only: a product in double precision gives zero.
    logs = torch.tensor([[0.0, -900.0, -910.0]], dtype=torch.float64)
    errors = from_logs(torch.ones(1, 3, dtype=torch.float64), logs, torch.zeros(1, dtype=torch.float64), torch.float64)
    weight = torch.tensor([[2.0, 0.0], [1.0, 3.0], [-1.0, -5.0]], dtype=torch.float64)
    found = errors.through_linear(weight)
    with mp.workdps(30):
        small = 3 * mp.e**-900 - 5 * mp.e**-910
        assert abs(size_of(found, 0, 1) / small - 1) < 1e-9
        assert abs(size_of(found, 0, 0) / 2 - 1) < 1e-9


def test_units_are_changed_by_powers_of_two_which_loses_nothing() -> None:
    values = drawn(6, 3) * torch.tensor([1.0, 1e-150, 1e-290, 1e150, 1.0, 0.0], dtype=torch.float64)[:, None]
    errors = ScaledErrors(values, None, torch.zeros(6, dtype=torch.float64)).renormalised(1e-100)
    for sample in range(5):
        ratio = values[sample] / errors.values[sample]
        power = float(ratio[0].log2())
        assert power == round(power)
        assert bool((ratio == ratio[0]).all())
        assert float(errors.log_scale[sample]) == pytest.approx(power * math.log(2), rel=1e-14, abs=0)
        assert 1e-100 <= float(errors.values[sample].abs().amax()) <= 1e100
    assert bool((errors.values[5] == 0).all())

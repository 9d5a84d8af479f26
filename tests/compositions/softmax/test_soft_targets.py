"""Softmax with probabilities as targets, against mpmath."""

import mpmath as mp
import numpy as np
import pytest

from critlearn.compositions import SoftTargetCrossEntropy
from critlearn.errors import InvalidInputError


@pytest.mark.parametrize("t", [[1.0, 0.0, 0.0], [0.0, 2.5, 0.0], [0.2, 0.3, 0.5], [0.0, 0.0, 0.0]])
@pytest.mark.parametrize("y", [[300.0, 0.0, -40.0], [-1.0, 0.5, 700.0]])
def test_errors_and_values(y: list[float], t: list[float]) -> None:
    with mp.workdps(400):
        weights = [mp.exp(value) for value in y]
        p = [weight / mp.fsum(weights) for weight in weights]
        errors = [p_i * mp.fsum(t) - mp.mpf(t_i) for p_i, t_i in zip(p, t, strict=True)]
        value = float(-mp.fsum(t_i * mp.log(p_i) for p_i, t_i in zip(p, t, strict=True)))
        logs = [float(mp.log(abs(error))) if error else -np.inf for error in errors]
    sign, log_size = SoftTargetCrossEntropy().log_output_error(np.array([y]), np.array([t]))
    np.testing.assert_allclose(log_size[0], logs, rtol=1e-12, atol=1e-15)
    assert [s for s, error in zip(sign[0], errors, strict=True) if error] == [float(mp.sign(e)) for e in errors if e]
    assert float(SoftTargetCrossEntropy().value(np.array([y]), np.array([t])).sum()) == pytest.approx(value, rel=1e-12)


def test_what_is_no_probability_is_refused() -> None:
    loss = SoftTargetCrossEntropy()
    with pytest.raises(InvalidInputError, match="not negative"):
        loss.log_output_error(np.zeros((1, 2)), np.array([[1.0, -1.0]]))
    with pytest.raises(InvalidInputError, match=r"got \(1, 2\) and \(1, 3\)"):
        loss.log_output_error(np.zeros((1, 2)), np.zeros((1, 3)))

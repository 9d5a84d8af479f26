"""Designed and catalogue losses at logits to +-700: nothing is NaN, and errors are those of mpmath at 50 digits."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch
from tests.reference.tempered_losses import bi_tempered_errors, probabilities, tempered_softmax_errors

from critlearn.compositions import ACTIVATIONS, LOSSES, Composition, OutputLoss
from critlearn.duality.jacobian.output_response import output_response
from critlearn.inverse_design import BiTemperedLogistic, TemperedSoftmax, design, log_tempered_softmax
from critlearn.inverse_design.modules import DesignedLoss

TEMPERATURES = [0.05, 0.3, 0.5, 0.7, 0.9, 0.999999, 1.0, 1 + 1e-9, 1.3, 1.5, 2.0, 2.5, 3.0]
PAIRS = [
    *((0.0, 0.3), (0.3, 0.7), (0.7, 0.7), (0.0, 1.0), (0.5, 1.0), (1.0, 1.0)),
    *((0.8, 1.3), (1.0, 1.5), (1.5, 1.5), (1.9, 2.5), (0.2, 3.0)),
]
CLASS_LOSSES = [*map(TemperedSoftmax, TEMPERATURES), *(BiTemperedLogistic(*pair) for pair in PAIRS)]
DTYPES = [torch.float64, torch.float32]
PRECISIONS = {torch.float64: 1e-9, torch.float32: 1e-5}


def rows() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    found = [np.array([5.0, 0.0, 0.0]), np.zeros(3), np.zeros(2), np.array([700.0, -700.0])]
    for size in (1.0, 6.0, 300.0):
        found += [np.clip(size * generator.normal(size=classes), -700, 700) for classes in (2, 3, 4)]
    return found


def true_errors(loss: OutputLoss, logits: np.ndarray, true: int) -> list[mp.mpf]:
    if isinstance(loss, TemperedSoftmax):
        return tempered_softmax_errors(logits, true, loss.temperature)
    assert isinstance(loss, BiTemperedLogistic)
    return bi_tempered_errors(logits, true, loss.t1, loss.t2)


@pytest.mark.parametrize("loss", CLASS_LOSSES, ids=lambda loss: loss.name)
def test_errors_of_tempered_losses(loss: OutputLoss) -> None:
    for logits in rows():
        for true in range(len(logits)):
            sign, log_size = loss.log_output_error(logits[None], np.array([true]))
            for j, expected in enumerate(true_errors(loss, logits, true)):
                if abs(expected) < 1e-300:
                    assert log_size[0, j] < -600
                    continue
                with mp.workdps(50):
                    assert sign[0, j] == mp.sign(expected)
                    # A logarithm of 1400 is rounded at its 13th digit.
                    assert abs(log_size[0, j] - mp.log(abs(expected))) < 1e-10


def test_a_class_of_probability_zero_keeps_its_error_under_the_matching_loss() -> None:
    y, true = np.array([[5.0, 0.0, 0.0]]), np.array([1])
    # p = (1, 0, 0): the loss is y_0 - y_1. Bi-tempered, ln_t1(0) = -1/(1 - t1) for any output of the class.
    for loss in (BiTemperedLogistic(0.5, 0.5), TemperedSoftmax(0.5)):
        np.testing.assert_allclose(loss.value(y, true), 5.0, rtol=1e-12)
        np.testing.assert_allclose(loss.output_error(y, true), [[1.0, -1.0, 0.0]], atol=1e-300)
    other = BiTemperedLogistic(0.5, 0.7)
    np.testing.assert_allclose(other.value(y, true), 2.0, rtol=1e-12)
    np.testing.assert_allclose(other.output_error(y, true), np.zeros((1, 3)), atol=1e-200)


@pytest.mark.parametrize(("t1", "t2"), [(0.2, 0.2), (0.5, 0.5), (0.9, 0.9), (1.0, 1.0), (1.4, 1.4), (1.9, 1.9)])
def test_equal_temperatures_give_the_bi_tempered_loss_where_the_class_has_a_probability(t1: float, t2: float) -> None:
    for logits in ([0.4, -0.3, 0.2], [1.0, 0.3], [0.1, 0.0, -0.2, 0.3]):
        p = probabilities(tuple(logits), t2)
        for true, own in enumerate(p):
            log_t1 = mp.log(own) if t1 == 1 else (own ** (1 - mp.mpf(t1)) - 1) / (1 - mp.mpf(t1))
            expected = -log_t1 - (1 - sum(one ** (2 - mp.mpf(t1)) for one in p)) / (2 - mp.mpf(t1))
            found = BiTemperedLogistic(t1, t2).value(np.array([logits]), np.array([true]))
            np.testing.assert_allclose(found, float(expected), rtol=1e-11)


@pytest.mark.parametrize("size", [1.0, 10.0, 100.0, 700.0])
@pytest.mark.parametrize("loss", CLASS_LOSSES, ids=lambda loss: loss.name)
def test_errors_are_the_slopes_of_the_values(loss: OutputLoss, size: float) -> None:
    generator = np.random.default_rng(1)
    logits = size * (2 * generator.random((12, 3)) - 1)
    logits[0] = [size, 0.0, -size / 2]
    true, step = np.arange(12) % 3, 1e-5 * size
    slopes = np.empty_like(logits)
    for j in range(3):
        moved = step * np.eye(3)[j]
        slopes[:, j] = (loss.value(logits + moved, true) - loss.value(logits - moved, true)) / (2 * step)
    np.testing.assert_allclose(loss.output_error(logits, true), slopes, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", CLASS_LOSSES, ids=lambda loss: loss.name)
def test_gradients_in_either_precision(loss: OutputLoss, dtype: torch.dtype) -> None:
    module = DesignedLoss(loss, "")
    for logits in rows():
        y = torch.tensor(logits[None], dtype=dtype, requires_grad=True)
        for true in range(len(logits)):
            value = module(y, torch.tensor([true]))
            (gradient,) = torch.autograd.grad(value, y)
            assert math.isfinite(float(value.detach()))
            exact = np.array([float(error) for error in true_errors(loss, y[0].detach().double().numpy(), true)])
            np.testing.assert_allclose(gradient[0].double(), exact, rtol=PRECISIONS[dtype], atol=1e-37)


@pytest.mark.parametrize("loss", CLASS_LOSSES, ids=lambda loss: loss.name)
def test_second_derivatives_of_tempered_losses(loss: OutputLoss) -> None:
    for logits in rows():
        step = 1e-5
        for true in range(len(logits)):
            response = output_response(loss, torch.tensor(logits[None]), torch.tensor([true]))
            found = response.by_output[0] * response.log_scale.exp()
            assert bool(torch.isfinite(found).all())
            if np.abs(logits).max() > 10:
                continue
            for j in range(len(logits)):
                moved = [logits.copy(), logits.copy()]
                moved[0][j] += step
                moved[1][j] -= step
                ahead, behind = (
                    np.array([float(error) for error in true_errors(loss, place, true)]) for place in moved
                )
                np.testing.assert_allclose(found[:, j], (ahead - behind) / (2 * step), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("q", [0.3, 0.7, 1.4, 2.5])
def test_derivatives_of_the_probabilities(q: float) -> None:
    logits = torch.tensor([[0.4, -0.3, 0.9]], dtype=torch.float64)
    p = np.array([float(one) for one in probabilities((0.4, -0.3, 0.9), q)])
    # dp_i/dy_j = p_i^q ([i = j] - p_j^q / sum_k p_k^q)
    expected = np.diag(p**q) - np.outer(p**q, p**q) / (p**q).sum()
    found = torch.func.jacrev(lambda y: log_tempered_softmax(y, q).exp())(logits)[0, :, 0]
    np.testing.assert_allclose(found, expected, atol=1e-13)


@pytest.mark.parametrize("q", [0.7, 0.3])
def test_training_with_a_design_below_one_stays_finite(q: float) -> None:
    loss = design(q, classes=3).loss_module()
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(300, 2, generator=generator)
    t = (x[:, 0] > 0).long() + (x[:, 1] > 1).long()
    weight = torch.zeros(2, 3, requires_grad=True)
    optimiser = torch.optim.SGD([weight], lr=5.0)
    for _ in range(30):
        optimiser.zero_grad()
        loss(x @ weight, t).backward()
        optimiser.step()
    assert bool(torch.isfinite(weight).all())
    assert float((x @ weight).argmax(dim=1).eq(t).double().mean()) > 0.5


MARGINS = np.unique(np.concatenate([np.linspace(-700, 700, 29), [-37, -5, -0.1, 0.1, 0.5, 1, 2, 4, 20, 37]]))
SINGLE_LOSSES: list[OutputLoss] = [
    *(design(q).output_loss for q in (-2, -1, 0, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3)),
    *(design(1.5, activation=name).output_loss for name in ("tanh", "softsign")),
    *(design(1.5, loss=name).output_loss for name in ("mse", "bce", "mae", "power:3")),
    *(
        Composition(activation, loss)
        for activation in ACTIVATIONS.values()
        for loss in LOSSES.values()
        if activation.bounded or not loss.needs_saturation
    ),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", [-1.0, 1.0])
def test_no_loss_of_one_output_is_nan(target: float, dtype: torch.dtype) -> None:
    y = torch.tensor(MARGINS[:, None], dtype=dtype)
    t = torch.full_like(y, target)
    for loss in SINGLE_LOSSES:
        response = output_response(loss, y, t)
        assert bool(torch.isfinite(loss.value(y, t)).all()), loss.name
        parts = (loss.output_error(y, t), response.error, response.by_output, response.by_target, response.log_scale)
        assert not any(bool(torch.isnan(part).any()) for part in parts), loss.name

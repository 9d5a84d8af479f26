"""Designed losses and activations: their exponents by finite differences at high precision, gradients by autograd."""

import itertools
import math
import pickle
from collections.abc import Callable

import mpmath as mp
import numpy as np
import pytest
import torch

from critlearn.compositions import OutputLoss, SoftmaxCrossEntropy
from critlearn.errors import InvalidInputError
from critlearn.inverse_design import BiTemperedLogistic, QMarginLoss, TemperedSoftmax, design, log_tempered_softmax
from shape_checker import switched_off

EXPONENTS = [-2.0, -0.5, 0.0, 0.5, 1.0, 1.25, 1.5, 2.0, 3.0]


def e_q(x: mp.mpf, q: float) -> mp.mpf:
    """Tsallis' q-exponential from its definition."""
    if q == 1:
        return mp.exp(x)
    base = 1 + (1 - mp.mpf(q)) * x
    return base ** (1 / (1 - mp.mpf(q))) if base > 0 else mp.mpf(0)


@pytest.mark.parametrize("q", EXPONENTS)
def test_error_signal_is_the_q_exponential_and_kappa_is_q(q: float) -> None:
    loss = QMarginLoss(q)
    margins = np.array([0.01, 0.2, 0.33]) if q < 1 else np.array([0.01, 0.5, 3.0, 40.0, 700.0])
    with mp.workdps(60):
        for t in (-1.0, 1.0):
            sign, log_size = loss.log_output_error(t * margins, t)
            for i, margin in enumerate(margins):
                assert log_size[i] == pytest.approx(float(mp.log(e_q(-mp.mpf(margin), q))), abs=1e-12, rel=1e-12)
                assert sign[i] == -t
        for margin in margins:
            g = [mp.diff(lambda x: e_q(-x, q), mp.mpf(margin), n) for n in range(3)]
            assert float(g[0] * g[2] / g[1] ** 2) == pytest.approx(q, abs=1e-9)
    np.testing.assert_allclose(loss.intrinsic_exponent(margins), q, atol=1e-12)


@pytest.mark.parametrize("q", EXPONENTS)
def test_loss_is_the_integral_of_its_error(q: float) -> None:
    loss = QMarginLoss(q)
    low, high = -2.5, 2.9
    corner = [1 / (1 - q)] if q < 1 else []
    integral = mp.quad(lambda m: -e_q(-max(m, mp.mpf(0)), q), [low, 0, *[c for c in corner if c < high], high])
    difference = loss.value(np.array([high]), 1) - loss.value(np.array([low]), 1)
    assert difference[0] == pytest.approx(float(integral), rel=1e-9)


@pytest.mark.parametrize("q", [1.0, 1.25, 1.5, 1.75])
@pytest.mark.parametrize("loss", ["mse", "mae", "power:3", "bce"])
def test_designed_activation_has_the_exponent_exactly(q: float, loss: str) -> None:
    made = design(q, loss=loss)
    assert made.asymptotic().exponent == pytest.approx(q, abs=1e-12)
    margins = np.array([0.3, 2.0, 30.0, 500.0])
    np.testing.assert_allclose(made.output_loss.intrinsic_exponent(margins), q, atol=1e-9)  # type: ignore[attr-defined]
    # The slope belongs to the value.
    activation = made.activation
    assert activation is not None
    step = 1e-5
    slope = (activation(margins[:2] + step) - activation(margins[:2] - step)) / (2 * step)
    np.testing.assert_allclose(activation.derivative(margins[:2]), slope, rtol=1e-8)


def test_loss_for_an_activation_gives_back_the_margin_loss() -> None:
    assert design(1.0, activation="sigmoid").convex
    made = design(1.5, activation="softsign")
    # H' = -(1 + m)^2 / (1 + m/2)^2 falls with m; -ln((1 + f)/2) has this exponent and is convex.
    assert made.convex is False
    assert "the loss is not convex" in made.remarks[-1]
    margins = np.array([-0.8, 0.1, 2.0, 50.0])
    on_output = made.output_loss.on_output(margins / (1 + np.abs(margins)), np.ones(4))  # type: ignore[attr-defined]
    np.testing.assert_allclose(on_output, QMarginLoss(1.5).value(margins, 1), rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"exponent": 3.5}, "from -2 to 3"),
        ({"exponent": math.nan}, "from -2 to 3"),
        ({"exponent": 2.0, "loss": "mse"}, "not integrable"),
        ({"exponent": 0.5, "loss": "mse"}, "strictly increasing"),
        ({"exponent": 1.5, "loss": "cauchy"}, "closed form"),
        ({"exponent": 1.5, "activation": "square"}, "not strictly increasing"),
        ({"exponent": -1.0, "classes": 3}, "above 0"),
        ({"exponent": 1.0, "classes": 3, "loss": "mse"}, "one of"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        design(**arguments)  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("activation", ["y**3", "erf(2*y)", "tanh(30*y)", "exp(-exp(-y))"])
def test_slopes_that_vanish_at_a_point_or_underflow_are_strictly_increasing(activation: str) -> None:
    assert design(1.5, activation=activation).asymptotic().exact == "3/2"


@pytest.mark.parametrize("activation", ["max(y,0)", "min(max(y,-1),1)", "y+2*sin(y)"])
def test_a_slope_that_is_zero_on_a_stretch_or_negative_is_refused(activation: str) -> None:
    with pytest.raises(InvalidInputError, match="not strictly increasing"):
        design(1.5, activation=activation)


def _slopes_of_loss(output: Callable[[mp.mpf], mp.mpf], q: float, t: int, low: float, high: float) -> list[mp.mpf]:
    """``H'(f) = h'(y) / f'(y)`` at pre-activations in order, from the definitions."""
    points = [mp.mpf(low) + (mp.mpf(high) - mp.mpf(low)) * i / 160 for i in range(161)]
    with mp.workdps(40):
        return [-t * e_q(-max(t * y, mp.mpf(0)), q) / mp.diff(output, y) for y in points]


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize(
    ("activation", "output"),
    [
        ("softplus", lambda y: mp.log1p(mp.exp(y))),
        ("elu", lambda y: y if y > 0 else mp.expm1(y)),
        ("y+0.9*sin(y)", lambda y: y + mp.mpf("0.9") * mp.sin(y)),
        ("tanh", mp.tanh),
        ("arctan", lambda y: 2 * mp.atan(y) / mp.pi),
        ("identity", lambda y: y),
    ],
)
def test_convexity_is_told_for_both_classes(activation: str, output: Callable[[mp.mpf], mp.mpf], q: float) -> None:
    growing = True
    for t in (1, -1):
        # Away from 0, where elu's slope is not the one that differences see.
        for low, high in ((-6.01, -0.02), (0.02, 6.01)):
            slopes = _slopes_of_loss(output, q, t, low, high)
            growing &= all(b - a >= -(mp.mpf(10) ** -9) * abs(a) for a, b in itertools.pairwise(slopes))
    assert design(q, activation=activation).convex is growing


def test_no_loss_is_called_impossible_that_is_not() -> None:
    # h = exp(-m) without its straight line is convex in sinh: -1 <= tanh(m).
    assert "straight line" in design(1.0, activation="sinh(y)").remarks[-1]
    # |H'| = g/f' grows without bound towards the upper end for every g ~ m^-2.
    assert "no loss with this exponent is convex" in design(1.5, activation="tanh").remarks[-1]


@pytest.mark.parametrize("q", [1 + 1e-12, 1 - 1e-12, 1 + 1e-9])
def test_tempered_softmax_next_to_the_softmax(q: float) -> None:
    logits = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, -1.5]])
    p = np.exp(log_tempered_softmax(logits, q))
    # It differs from the softmax by O(q - 1).
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, softmax, rtol=20 * abs(q - 1) + 1e-14)


LOGITS = torch.tensor([[2.0, -1.0, 0.3], [-4.0, 3.0, 1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
CLASSES = torch.tensor([0, 1, 2])


@pytest.mark.parametrize("q", [0.5, 1.0, 1.25, 1.5, 2.0, 2.5])
def test_tempered_softmax_errors_are_the_gradient_of_its_loss(q: float) -> None:
    loss = TemperedSoftmax(q)
    assert isinstance(loss, OutputLoss)
    error = loss.output_error(LOGITS, CLASSES).numpy()
    step = 1e-6
    for i in range(3):
        for j in range(3):
            moved = [LOGITS.clone(), LOGITS.clone()]
            moved[0][i, j] += step
            moved[1][i, j] -= step
            values = [float(loss.value(y, CLASSES)[i]) for y in moved]
            assert error[i, j] == pytest.approx((values[0] - values[1]) / (2 * step), abs=2e-8)
    np.testing.assert_allclose(error.sum(axis=1), 0, atol=1e-12)


def test_tempered_softmax_of_temperature_one_is_softmax() -> None:
    ours, known = TemperedSoftmax(1.0), SoftmaxCrossEntropy()
    np.testing.assert_allclose(ours.value(LOGITS, CLASSES), known.value(LOGITS, CLASSES), rtol=1e-12)
    np.testing.assert_allclose(ours.output_error(LOGITS, CLASSES), known.output_error(LOGITS, CLASSES), rtol=1e-12)


@pytest.mark.parametrize(("t1", "t2"), [(0.8, 1.3), (1.0, 1.5), (0.5, 2.0), (1.5, 1.5), (0.0, 1.0), (0.3, 0.7)])
def test_bi_tempered_errors_are_the_gradient_of_its_loss(t1: float, t2: float) -> None:
    loss = BiTemperedLogistic(t1, t2)
    error = loss.output_error(LOGITS, CLASSES).numpy()
    step = 1e-6
    for i in range(3):
        for j in range(3):
            moved = [LOGITS.clone(), LOGITS.clone()]
            moved[0][i, j] += step
            moved[1][i, j] -= step
            values = [float(loss.value(y, CLASSES)[i]) for y in moved]
            assert error[i, j] == pytest.approx((values[0] - values[1]) / (2 * step), abs=5e-8)


@pytest.mark.parametrize(("t1", "t2"), [(0.8, 1.3), (1.0, 1.5), (0.5, 2.0), (1.5, 1.5)])
def test_bi_tempered_error_decays_with_the_predicted_power(t1: float, t2: float) -> None:
    loss = BiTemperedLogistic(t1, t2)
    margins = np.array([1e8, 2e8])
    y = np.stack([margins, np.zeros(2)], axis=1)
    _, log_size = loss.log_output_error(y, np.zeros(2, dtype=np.int64))
    power = -(log_size[1, 1] - log_size[0, 1]) / math.log(2)
    assert 1 + 1 / power == pytest.approx(1 + (t2 - 1) / (1 + t2 - t1), abs=2e-3)
    assert loss.asymptotic().exponent == loss.exponent


@pytest.mark.parametrize("loss", [QMarginLoss(1.5), TemperedSoftmax(1.5), BiTemperedLogistic(0.8, 1.3)])
def test_tails_do_not_underflow(loss: OutputLoss) -> None:
    y = np.array([[1e30, 0.0]]) if loss.class_targets else np.array([[1e30]])
    _, log_size = loss.log_output_error(y, np.array([0]) if loss.class_targets else np.array([[1.0]]))
    assert np.isfinite(log_size).all()
    assert (log_size < -100).all()


@pytest.mark.parametrize(
    "made", [design(1.5), design(1.25, classes=3), design(1.5, activation="tanh"), design(1.5, loss="mse")]
)
def test_modules_train_pickle_and_print_their_formula(made: object) -> None:
    module = made.loss_module()  # type: ignore[attr-defined]
    again = pickle.loads(pickle.dumps(module))
    classes = module.loss.class_targets
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(200, 2, generator=generator)
    t = (x[:, 0] > 0).long() if classes else torch.where(x[:, :1] > 0, 1.0, -1.0)
    model = torch.nn.Linear(2, 3 if classes else 1)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.3)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        value = again(model(x), t)
        value.backward()
        optimiser.step()
        losses.append(float(value.detach()))
    assert losses[-1] < losses[0] - 0.1
    assert torch.equal(again(model(x), t), module(model(x), t))
    assert made.formula in repr(module)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: design("1.5"), "an exponent must be a number; got '1.5'"),
        (lambda: design(True), "an exponent must be a number; got True"),
        (lambda: design(None), "an exponent must be a number; got None"),
        (lambda: design(math.nan), "from -2 to 3"),
        (lambda: design(1.5, classes="3"), "classes must be an integer; got '3'"),
        (lambda: design(1.5, classes=2.5), "classes must be an integer; got 2.5"),
        (lambda: design(1.5, classes=True), "classes must be an integer; got True"),
        (lambda: QMarginLoss(False), "an exponent must be a number; got False"),
        (lambda: QMarginLoss(1.5, softening="0"), "a softening must be a number; got '0'"),
        (lambda: TemperedSoftmax("1"), "a temperature must be a number; got '1'"),
        (lambda: BiTemperedLogistic(True, 1.5), "a temperature must be a number; got True"),
        (lambda: log_tempered_softmax(np.zeros((1, 3)), "1"), "a temperature must be a number; got '1'"),
        (lambda: log_tempered_softmax(np.zeros((1, 3)), -1.0), "temperature in (0, 3]; got -1.0"),
    ],
)
def test_what_is_no_number_is_refused_in_one_line(call: Callable[[], object], reason: str) -> None:
    # The checker of types in the test run would refuse most of them first.
    with switched_off(), pytest.raises(InvalidInputError) as caught:
        call()
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_are_exponents() -> None:
    with switched_off():
        assert design(np.float32(1.5)).exponent == design(np.int64(1)).exponent + 0.5 == 1.5

"""Losses that aim at the exponent of a layer, against a Monte Carlo of margins times path factors."""

import numpy as np
import pytest
import scipy.optimize
import torch
from torch.utils.data import TensorDataset

from critlearn.comparison import predict
from critlearn.comparison.aimed_design import AimedDesign
from critlearn.compositions import Composition, SoftmaxCrossEntropy
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem, feed_forward
from critlearn.numerics.window import Window


def _system() -> NeuralSystem:
    generator = torch.Generator().manual_seed(2)
    t = 2.0 * torch.randint(2, (4000,), generator=generator).double() - 1
    x = torch.randn(4000, 5, generator=generator, dtype=torch.float64) + 0.8 * t[:, None]
    model = feed_forward(5, [7], "tanh", seed=0)
    with torch.no_grad():
        # Margins of several units, and hidden units that are not saturated.
        model[-1].weight.mul_(-8.0)
    return NeuralSystem(model, Composition("sigmoid", "bce"), TensorDataset(x, t))


def _exponent(logs: np.ndarray, window: Window) -> float:
    """Maximum likelihood of a truncated exponential in ``ln delta``, from its definition."""
    inside = logs[(logs > window.log_lo) & (logs < window.log_hi)]
    width = window.log_hi - window.log_lo
    mean = (inside.mean() - window.log_lo) / width

    def excess(z: float) -> float:
        return (1 / -np.expm1(-z) - 1 / z) - mean

    return 1 - scipy.optimize.brentq(excess, -60.123, 60.0) / width


def _monte_carlo(made: AimedDesign, level: int, quantity: str) -> float:
    """Exponent of ``e_q(-m) |c|`` with margins and path factors of the network, drawn independently of each other."""
    system, draw = _system(), np.random.default_rng(7)
    model = system.model
    x, t = next(iter(system.boundary(4000)))
    first, last = (layer for layer in model if isinstance(layer, torch.nn.Linear))
    a = torch.tanh(first(x))
    margins = (last(a)[:, 0] * t.flatten()).detach().numpy()
    slopes = (last.weight[0] * (1 - a**2)).detach().abs()
    path = {"hidden1.bias": slopes, "hidden1.weight": slopes[:, :, None] * x.abs()[:, None, :]}[quantity]
    number = 1_000_000
    if level == 1:
        classes = t.flatten().numpy()
        drawn = []
        for one in (-1.0, 1.0):
            own = margins[classes == one]
            drawn.append(draw.normal(own.mean(), own.std(), round(number * own.size / margins.size)))
        m = np.concatenate(drawn)
    else:
        quartiles = np.quantile(margins, [0.25, 0.75])
        spread = min(margins.std(), (quartiles[1] - quartiles[0]) / 1.349)
        m = draw.choice(margins, number) + 0.5 * spread * margins.size**-0.2 * draw.normal(size=number)
    q = made.design.exponent
    held = np.maximum(m, 0.0)
    with np.errstate(all="ignore"):
        error = np.where(1 + (q - 1) * held > 0, -np.log1p((q - 1) * held) / (q - 1), -np.inf)
    logs = error + np.log(draw.choice(path.flatten().numpy(), m.size))
    return _exponent(logs[np.isfinite(logs)], made.window)


@pytest.mark.parametrize(
    ("level", "quantity", "exponent", "window"),
    [
        (1, "hidden1.bias", 0.7, None),
        (2, "hidden1.bias", 0.6, Window(0.01, 1.0)),
        (2, "hidden1.weight", 0.6, None),
    ],
)
def test_the_exponent_is_the_target_by_monte_carlo(
    level: int, quantity: str, exponent: float, window: Window | None
) -> None:
    made = predict(_system(), level=level).design(exponent, quantity, window=window)
    assert made.exponent == pytest.approx(exponent, abs=0.005)
    assert _monte_carlo(made, level, quantity) == pytest.approx(exponent, abs=0.01)
    assert made.window == window or window is None
    assert set(made.exponents) >= {"hidden1.bias", "hidden1.weight", "output.bias", "output.weight"}
    assert "sigmoid+bce: training with another loss moves them" in made.summary()
    assert made.to_dict()["window"]["lo"] == pytest.approx(made.window.lo)


def test_what_cannot_be_reached_is_refused_with_what_can() -> None:
    prediction = predict(_system(), level=1)
    with pytest.raises(InvalidInputError, match=r"hidden1\.bias the exponent 1\.9 .* give 0\.\d\d to 1\.\d\d$"):
        prediction.design(1.9, "hidden1.bias")
    with pytest.raises(InvalidInputError, match="finite number"):
        prediction.design(float("nan"), "hidden1.bias")
    with pytest.raises(InvalidInputError, match=r"give a window where it fluctuates$"):
        prediction.design(0.5, "hidden1.bias", window=Window(1e20, 1e25))
    with pytest.raises(InvalidInputError, match=r'did you mean "hidden1\.bias"'):
        prediction.design(0.5, "hiden1.bias")
    with pytest.raises(InvalidInputError, match=r"take predict\(system, level=1\)"):
        predict(_system(), level=0).design(0.5, "hidden1.bias")


def test_networks_without_one_margin_are_refused() -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(300, 5, generator=generator, dtype=torch.float64)
    t = torch.randint(3, (300,), generator=generator)
    classes = NeuralSystem(feed_forward(5, [4], "tanh", seed=0, outputs=3), SoftmaxCrossEntropy(), TensorDataset(x, t))
    with pytest.raises(InvalidInputError, match="losses of one output"):
        predict(classes).design(0.5, "hidden1.bias")
    real = NeuralSystem(feed_forward(5, [4], "tanh", seed=0), Composition("identity", "mse"), TensorDataset(x, x[:, 0]))
    with pytest.raises(InvalidInputError, match="depend on no margin"):
        predict(real).design(0.5, "hidden1.bias")

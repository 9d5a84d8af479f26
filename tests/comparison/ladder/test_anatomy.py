"""Anatomies whose parts are known beforehand."""

import math

import numpy as np
import pytest
import scipy.optimize
import torch
from jaxtyping import Float64
from tests.comparison.ladder.synthetic import LOGISTIC, counted, ladder
from torch import nn
from torch.utils.data import TensorDataset

from critlearn.comparison import predict
from critlearn.comparison.ladder.error_values import OutputState
from critlearn.comparison.ladder.ladder import Ladder
from critlearn.fluctuations import Fluctuations
from critlearn.inference import PowerLawFit, fit_power_law
from critlearn.network import NeuralSystem
from critlearn.numerics.window import Window
from critlearn.prediction.error_values import values_of_margins


def on(steps: Ladder, low: float, high: float) -> PowerLawFit:
    """Fit on a window between two quantiles."""
    sketch = steps.measured["q"]
    return fit_power_law(sketch, window=Window.from_logs(sketch.quantile(low), sketch.quantile(high)))


def test_one_path_factor_of_all_samples_leaves_composition_and_data() -> None:
    """As in the toy model: nothing is multiplied, and nothing can depend on it."""
    steps = ladder(20_000, 0, variables=1, spread=0.0)
    fit = on(steps, 0.02, 0.5)
    anatomy = steps.anatomy("q", fit)
    assert anatomy is not None
    assert fit.exponent is not None
    assert anatomy.composition is not None
    # Bins are joined, which moves a window by a part of one.
    for part in (anatomy.path, anatomy.dependence):
        assert part.value == pytest.approx(0.0, abs=0.01)
    assert anatomy.total == pytest.approx(fit.exponent, abs=0.02)
    # lambda' = -(1 - g): uniform margins give 1 / (g (1 - g)), whose local exponent is 1 - g / (1 - g).
    window = anatomy.window
    sizes = np.linspace(window.log_lo, window.log_hi, 10_001)
    weight = 1 / (1 - np.exp(sizes))
    local = 1 - float((weight * np.exp(sizes) / (1 - np.exp(sizes))).sum() / weight.sum())
    assert anatomy.composition.value == pytest.approx(local, abs=0.02)


def test_independent_path_factors_have_no_dependence() -> None:
    for seed in range(3):
        steps = ladder(20_000, seed)
        anatomy = steps.anatomy("q", on(steps, 0.02, 0.3))
        assert anatomy is not None
        assert abs(anatomy.dependence.value) < 4 * anatomy.dependence.standard_error + 0.005
        assert anatomy.path.value != pytest.approx(0.0, abs=0.02)


def test_dependence_made_by_hand_is_seen() -> None:
    steps = ladder(20_000, 4, dependence=0.6)
    anatomy = steps.anatomy("q", on(steps, 0.02, 0.3))
    assert anatomy is not None
    assert abs(anatomy.dependence.value) > 10 * anatomy.dependence.standard_error


def test_errors_are_those_of_drawing_again() -> None:
    """The standard error of each part is the scatter of that part over data drawn anew, on one window."""
    first = ladder(4000, 0)
    fit = on(first, 0.02, 0.5)
    found = [ladder(4000, seed).anatomy("q", fit) for seed in range(40)]
    for name in ("data", "path", "dependence"):
        values = [getattr(anatomy, name).value for anatomy in found]
        errors = [getattr(anatomy, name).standard_error for anatomy in found]
        # A standard deviation of 40 values is known to 11%.
        assert np.std(values, ddof=1) == pytest.approx(np.mean(errors), rel=4 / math.sqrt(2 * 39))


def test_errors_that_are_nearly_alike_have_no_part_in_a_window() -> None:
    """Errors that differ by 4%, as those of long sequences, times path factors that spread over decades."""
    steps = ladder(2000, 5, margins=lambda generator, classes: generator.normal(2.0, 0.05, classes.size), spread=2.0)
    for high in (0.3, 0.5, 0.9):
        assert steps.anatomy("q", on(steps, 0.02, high)) is None
    spread = ladder(2000, 5)
    assert spread.anatomy("q", on(spread, 0.02, 0.5)) is not None


@pytest.mark.parametrize(("of_paths", "path"), [(0.5, 0.0), (0.8, 0.1)])
def test_the_larger_of_two_exponents_rules_a_product(of_paths: float, path: float) -> None:
    """Errors ``p ~ e^-0.7`` times independent path factors ``p ~ c^-k2``: the product has ``max(0.7, k2)``."""
    generator = np.random.default_rng(0)
    samples = 20_000
    margins = generator.laplace(0.0, 1 / 0.3, samples)
    log_paths = np.log(generator.random((samples, 4))) / (1 - of_paths)
    log_error = LOGISTIC.log_error_signal(margins)
    measured, paths = (
        Fluctuations({"q": counted(logs)}, {"q": 4}, samples) for logs in (log_error[:, None] + log_paths, log_paths)
    )
    state = OutputState(log_error, values_of_margins(LOGISTIC, margins, np.zeros(samples, dtype=np.int64)))
    steps = Ladder(state, measured, paths)
    anatomy = steps.anatomy("q", on(steps, 0.005, 0.1))
    assert anatomy is not None
    assert anatomy.composition is not None
    # Both powers are parts of the product, e^(0.3 u) a few percent of it here.
    for part, expected in (
        (anatomy.composition, 1.0),
        (anatomy.data, -0.3),
        (anatomy.path, path),
        (anatomy.dependence, 0.0),
    ):
        assert abs(part.value - expected) < 4 * part.standard_error + 0.02


def test_parts_of_a_linear_network_are_those_of_plain_sums() -> None:
    """Two linear layers without biases, the first one's weights: ``c = |v_j x_i|``, ``m = t v W x``."""
    torch.manual_seed(0)
    t = torch.where(torch.rand(20_000) < 0.5, 1.0, -1.0).double()
    x = torch.randn(20_000, 2, dtype=torch.float64) + 0.8 * t[:, None]
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.5], [-0.3, 0.8]]))
        model[1].weight.copy_(torch.tensor([[1.2, 0.6]]))
        margins = (t * model(x)[:, 0]).numpy()
    steps = predict(NeuralSystem(model, LOGISTIC, TensorDataset(x, t[:, None]))).steps
    sketch = steps.measured["0.weight"]
    window = Window.from_logs(sketch.quantile(0.02), sketch.quantile(0.5))
    anatomy = steps.anatomy("0.weight", fit_power_law(sketch, window=window))
    assert anatomy is not None
    assert anatomy.composition is not None
    log_error = -np.logaddexp(0, margins)
    log_paths = np.log(np.abs(np.array([1.2, 0.6])[:, None] * x.numpy()[:, None, :])).reshape(20_000, 4)
    others = log_paths[np.random.default_rng(1).permuted(np.tile(np.arange(20_000), 20))]
    products = np.tile(log_error, 20)[:, None] + others
    k1 = plain_exponent(log_error + log_paths.mean(), window)
    k2, k3 = plain_exponent(products.ravel(), window), plain_exponent((log_error[:, None] + log_paths).ravel(), window)
    # The kernel of the margins smooths, and bins of 0.02 are joined.
    assert anatomy.data.value + anatomy.composition.value == pytest.approx(k1, abs=0.02)
    assert anatomy.path.value == pytest.approx(k2 - k1, abs=0.02)
    assert anatomy.dependence.value == pytest.approx(k3 - k2, abs=0.02)
    assert abs(k3 - k2) > 0.05


def plain_exponent(logs: Float64[np.ndarray, " value"], window: Window) -> float:
    """Exponent of the likeliest power law of values on a window: ``theta = 1 - k`` with their mean logarithm."""
    width = window.log_hi - window.log_lo
    inside = logs[(logs > window.log_lo) & (logs < window.log_hi)] - window.log_lo
    mean = float(inside.mean()) / width

    def excess(theta: float) -> float:
        return 1 / (1 - math.exp(-theta)) - 1 / theta - mean

    return 1 - float(scipy.optimize.brentq(excess, -100, 100.5)) / width


def test_where_errors_saturate_the_composition_has_no_exponent() -> None:
    """Where a window reaches to the largest errors, that of uniform margins is what their range says."""
    steps = ladder(20_000, 0)
    sketch = steps.measured["q"]
    inside = steps.anatomy("q", on(steps, 0.02, 0.3))
    beyond = steps.anatomy("q", fit_power_law(sketch, window=Window.from_logs(sketch.quantile(0.3), 1.0)))
    assert inside is not None
    assert inside.composition is not None
    assert beyond is not None
    assert beyond.composition is None

"""Modes of networks whose modes, couplings and distances are known in closed form, and what they refuse."""

import math
import pickle

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import Tensor, nn
from torch.utils.data import IterableDataset, TensorDataset

import critlearn as cl
from critlearn.comparison.learning_modes import Modes, modes_through_training
from critlearn.errors import InvalidInputError

SAMPLES = 20_000
AXES = np.array([3.0, 2.0, 1.0, 0.5])
"""Standard deviations of the inputs along their principal axes."""

LOG_NORMAL_VARIANCE = math.pi**2 / 8
"""Variance of ln|g| for a standard normal g."""


def linear(scale: np.ndarray, error_scale: np.ndarray | float = 1.0, seed: int = 0) -> cl.NeuralSystem:
    """Linear network y = w.x with errors of our choice: the target is y less the error.

    Inputs are ``scale * (normal with standard deviations AXES)``, turned; a change is ``-e x``.
    """
    generator = np.random.default_rng(seed)
    turned = np.linalg.qr(generator.normal(size=(4, 4)))[0]
    x = torch.from_numpy(scale[:, None] * generator.normal(size=(SAMPLES, 4)) * AXES @ turned.T)
    error = torch.from_numpy(error_scale * generator.normal(size=SAMPLES))
    model = nn.Linear(4, 1, bias=False).double()
    with torch.no_grad():
        y = model(x)[:, 0]
    return cl.NeuralSystem(model, cl.Composition("identity", "mse"), TensorDataset(x, y - error))


def assert_within(value: float, error: float, expected: float, errors: float = 4) -> None:
    assert 0 < error < 0.2 * abs(expected) + 0.02
    assert abs(value - expected) < errors * error, (value, error, expected)


@pytest.fixture(scope="module")
def independent() -> Modes:
    return cl.modes(linear(np.ones(SAMPLES)))


def test_modes_of_a_linear_network_are_the_principal_axes_of_its_data(independent: Modes) -> None:
    variances = AXES**2
    assert len(independent.modes) == 4
    for mode, share in zip(independent.modes, variances / variances.sum(), strict=True):
        assert_within(mode.share, mode.share_error, share)
    ratio = variances.sum() ** 2 / (variances**2).sum()
    assert_within(independent.participation_ratio, independent.participation_ratio_error, ratio)
    assert independent.share == pytest.approx(1)
    assert independent.samples == (SAMPLES // 2, SAMPLES // 2)


def test_normal_inputs_are_not_coupled(independent: Modes) -> None:
    # Components of a normal vector along its principal axes are independent.
    assert independent.coupling < 1.6 * independent.coupling_floor
    off = independent.correlations[np.triu_indices(4, 1)]
    assert stats.chi2.sf((off**2).sum() * SAMPLES / 2, len(off)) > 1e-3


def test_error_and_factor_that_are_alike_share_the_variance(independent: Modes) -> None:
    # ln|z| = ln|e| + ln|c| with two independent normal numbers: half of its variance is the error's.
    for mode in independent.modes:
        assert_within(mode.r_squared, mode.r_squared_error, 0.5)


def test_distances_of_a_product_of_normals(independent: Modes) -> None:
    # |e| times the geometric mean of |c| against |e c|, whose density is 2 K0(z) / pi.
    z = np.geomspace(1e-7, 30, 20_000)
    bare = special.erf(z / math.exp(special.digamma(0.5) / 2 + math.log(2) / 2) / math.sqrt(2))
    product = 2 / math.pi * integrate.cumulative_trapezoid(special.k0(z) * z, np.log(z), initial=0)
    expected = np.abs(bare - product).max()
    for mode in independent.modes:
        assert abs(mode.bare - expected) < 4 * max(mode.bare_error, 0.005)
        # Two halves of 10,000 differ by less than 0.028 with a probability of 0.999.
        assert max(mode.independent, mode.joint, mode.noise) < 0.028


def test_a_shared_scale_of_the_inputs_couples_the_modes_by_what_it_is_made() -> None:
    # ln|c_a| = ln s + ln|normal|: correlations are Var(ln s) / (Var(ln s) + pi^2 / 8).
    spread = 0.6
    scale = np.exp(spread * np.random.default_rng(1).normal(size=SAMPLES))
    found = cl.modes(linear(scale, seed=2))
    expected = spread**2 / (spread**2 + LOG_NORMAL_VARIANCE)
    assert_within(found.coupling, found.coupling_error, expected)
    # What modes share is no dependence of error and factor: the independent form still holds.
    assert all(mode.independent < 0.028 for mode in found.modes)


def test_errors_that_know_the_factors_are_no_independent_form() -> None:
    scale = np.exp(np.random.default_rng(3).normal(size=SAMPLES))
    found = cl.modes(linear(scale, scale, seed=4))
    for mode in found.modes:
        assert mode.independent > 0.04
        assert mode.joint < 0.028


def classifier(seed: int = 0, samples: int = 400) -> cl.NeuralSystem:
    torch.manual_seed(seed)
    x, t = torch.randn(samples, 3).double(), torch.arange(samples) % 3
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    return cl.NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))


def test_both_ways_of_decomposition_say_the_same() -> None:
    exact, randomised = (cl.modes(classifier(), 3, exact=exact) for exact in (True, False))
    assert (exact.exact, randomised.exact) == (True, False)
    table, other = exact.to_dataframe(), randomised.to_dataframe()
    np.testing.assert_allclose(table, other, rtol=1e-5, atol=1e-9)
    assert randomised.participation_ratio == pytest.approx(exact.participation_ratio, rel=0.01)
    assert randomised.coupling == pytest.approx(exact.coupling, rel=1e-5)


def test_exact_zeros_are_kept_apart() -> None:
    # A unit that is off for half of the inputs, and the only way to the output.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False)).double()
    x = torch.randn(2000, 2, dtype=torch.float64)
    system = cl.NeuralSystem(model, cl.Composition("tanh", "mse"), TensorDataset(x, torch.randn(2000).sign().double()))
    found = cl.modes(system)
    with torch.no_grad():
        held = [number for number in range(2000) if f"{number:b}".count("1") % 2]
        off = float((model[0](x[held]) <= 0).double().mean())
    assert 0.4 < off < 0.6
    assert [mode.zeros for mode in found.modes] == [off] * len(found.modes)
    assert all(mode.joint < 0.1 for mode in found.modes)


def test_classes_that_take_turns_are_in_both_halves() -> None:
    # By even and odd numbers each half would have one class, and the halves nothing in common.
    torch.manual_seed(0)
    t = torch.arange(4000) % 2 * 2.0 - 1
    x = torch.randn(4000, 2) + torch.stack([4 * t, t], dim=1)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    found = cl.modes(cl.NeuralSystem(model, cl.Composition("sigmoid", "bce"), TensorDataset(x, t)), 3)
    assert all(mode.noise < 0.062 for mode in found.modes)


class Streamed(IterableDataset):  # type: ignore[type-arg]
    """The samples of another data set, one after the other."""

    def __init__(self, data: TensorDataset) -> None:
        self.data = data

    def __iter__(self):  # type: ignore[no-untyped-def]
        return (self.data[at] for at in range(len(self.data)))


def test_a_stream_gives_what_its_data_set_gives() -> None:
    system = classifier()
    streamed = cl.NeuralSystem(system.model, nn.CrossEntropyLoss(), Streamed(system.dataset))
    found, expected = cl.modes(streamed, 2), cl.modes(system, 2)
    np.testing.assert_allclose(found.to_dataframe(), expected.to_dataframe(), rtol=1e-9)
    assert found.samples == expected.samples


def test_a_language_model_has_modes() -> None:
    torch.manual_seed(0)
    x = torch.randint(7, (64, 5))
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7)).double()
    found = cl.modes(cl.NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, x.roll(-1, dims=1))), 2)
    assert len(found.modes) == 2
    assert all(0 <= mode.noise <= 1 and math.isfinite(mode.joint) for mode in found.modes)


def test_modes_are_picklable_and_follow_a_training() -> None:
    found = cl.modes(classifier(), 2)
    again = pickle.loads(pickle.dumps(found))
    assert again.to_dict() == found.to_dict()
    table = modes_through_training({"start": found, "end": again})
    assert table.index.tolist() == ["start", "end"]
    assert table["first_share"].tolist() == [found.modes[0].share] * 2


def test_one_mode_has_no_coupling() -> None:
    found = cl.modes(classifier(), 1)
    assert math.isnan(found.coupling)
    assert found.to_dict()["coupling"] is None
    assert found.summary().splitlines()[0].endswith("no coupling of one mode")


def test_the_figure_shows_shares_and_distances() -> None:
    found = cl.modes(classifier(), 3)
    upper, lower = found.plot().axes
    np.testing.assert_allclose([bar.get_height() for bar in upper.patches], [mode.share for mode in found.modes])
    np.testing.assert_allclose([bar.get_height() for bar in lower.patches], [mode.noise for mode in found.modes])
    drawn = [bars.lines[0].get_ydata().tolist() for bars in lower.containers if hasattr(bars, "lines")]
    assert drawn == [[getattr(mode, name) for mode in found.modes] for name in ("bare", "independent", "joint")]


def settled(x: Tensor) -> cl.NeuralSystem:
    """A network that fits its targets exactly."""
    model = nn.Linear(2, 1).double()
    with torch.no_grad():
        t = model(x)[:, 0]
    return cl.NeuralSystem(model, cl.Composition("identity", "mse"), TensorDataset(x, t))


def test_refusals_are_one_line() -> None:
    with pytest.raises(InvalidInputError, match=r"^modes need at least 16 samples, .*; got 1$"):
        cl.modes(settled(torch.ones(1, 2).double()))
    with pytest.raises(InvalidInputError, match=r"^there are no modes: all samples change the network in the same way"):
        cl.modes(settled(torch.randn(50, 2).double()))
    model = nn.Linear(2, 1).double()
    alike = TensorDataset(torch.ones(50, 2).double(), torch.ones(50).double())
    for exact in (True, False):
        with pytest.raises(InvalidInputError, match=r"^there are no modes: all samples change the network in the same"):
            cl.modes(cl.NeuralSystem(model, cl.Composition("tanh", "mse"), alike), exact=exact)
    with pytest.raises(InvalidInputError, match="number of modes k must be at least 1"):
        cl.modes(classifier(), 0)

"""What was measured is exactly counted: bin for bin what a plain loop of autograd calls gives."""

import math
from collections.abc import Callable

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from critlearn.compositions import Composition
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import POOLED, Fluctuations, measure
from critlearn.network import NeuralSystem, feed_forward
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from reference import mpmath_oracle as oracle
from reference.networks import Pairs, Residual, classes, loop_of_autograd, seeded, tanh_squared

LOSS = Composition("tanh", "mse")


def convolutional() -> nn.Module:
    return nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "dense": (lambda: nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 1)), (23, 6)),
    "relu": (lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 1)), (23, 6)),
    "convolutional": (convolutional, (23, 1, 6)),
    "shared": (Residual, (23, 6)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_counts_are_those_of_brute_force_bin_for_bin(name: str, batch_size: int) -> None:
    make, shape = NETWORKS[name]
    model, data = seeded(make), classes(shape)
    lr, groups = 0.25, 4
    got = measure(NeuralSystem(model, LOSS, data), batch_size=batch_size, lr=lr, groups=groups)
    expected = loop_of_autograd(model, tanh_squared, data.x, data.t)
    total = 0
    for variable, gradient in expected.items():
        changes = -lr * gradient.numpy().reshape(len(data), -1)
        sketch = got[variable]
        total += changes.size
        assert sketch.count == changes.size
        assert sketch.zeros == int((changes == 0).sum())
        for group in range(groups):
            rows = changes[group::groups].ravel()
            for sign, counts in ((1, sketch.group_positive[group]), (-1, sketch.group_negative[group])):
                sizes = np.sort(np.log(np.abs(rows[np.sign(rows) == sign])))
                # Rounding may carry what lies within it of an edge to the other side, and nothing else.
                below = np.cumsum(np.concatenate([[0], counts]))
                tolerance = 1e-9
                assert (np.searchsorted(sizes, sketch.edges - tolerance) <= below).all()
                assert (below <= np.searchsorted(sizes, sketch.edges + tolerance)).all()
    assert got[POOLED].count == total


@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_the_batch_size_decides_nothing(batch_size: int) -> None:
    system = NeuralSystem(feed_forward(3, [4], "tanh", seed=0), LOSS, classes((30, 3)))
    reference, other = measure(system, batch_size=11), measure(system, batch_size=batch_size)
    for name in reference:
        # Sums over a batch are not made, so the counts agree but for rounding at an edge.
        assert other[name].count == reference[name].count
        first, last = (np.cumsum(sketch.counts) for sketch in _aligned(other[name], reference[name]))
        assert np.abs(first - last).max() <= 1


def _aligned(a: LogSketch, b: LogSketch) -> tuple[LogSketch, LogSketch]:
    """Both on the same bins."""
    empty_a = LogSketch(a.first_bin, 0 * a.group_positive, 0 * a.group_negative, 0 * a.group_zeros)
    empty_b = LogSketch(b.first_bin, 0 * b.group_positive, 0 * b.group_negative, 0 * b.group_zeros)
    return a.merge(empty_b), b.merge(empty_a)


@settings(max_examples=15, deadline=None)
@given(
    samples=st.integers(1, 30),
    hidden=st.lists(st.integers(1, 5), max_size=2),
    batch_size=st.integers(1, 40),
    groups=st.integers(1, 50),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 1e3]),
    activation=st.sampled_from(["tanh", "relu", "softsign"]),
)
def test_the_total_is_samples_times_parameters_always(
    samples: int, hidden: list[int], batch_size: int, groups: int, scale: float, activation: str
) -> None:
    model = feed_forward(3, hidden, activation, seed=1)
    with torch.no_grad():
        for value in model.parameters():
            value *= scale
    parameters = sum(value.numel() for value in model.parameters())
    # Algebraic tails: at these margins an exponential one would span millions of decades.
    loss = Composition("softsign", "mse")
    got = measure(NeuralSystem(model, loss, classes((samples, 3))), batch_size=batch_size, groups=groups)
    assert got[POOLED].count == samples * parameters
    assert got[POOLED].count == got[POOLED].counts.sum() + got[POOLED].zeros
    assert got[POOLED].groups == min(groups, samples)


def test_the_toy_model_far_beyond_floats_matches_mpmath() -> None:
    # Margins to 900: fluctuations down to 16 exp(-3600).
    margins = [0.5, 30.0, 200.0, 900.0]
    model = nn.Linear(1, 1, dtype=torch.float64)
    with torch.no_grad():
        model.weight.fill_(1.0)
        model.bias.fill_(0.0)
    x = torch.tensor(margins, dtype=torch.float64)[:, None]
    got = measure(NeuralSystem(model, LOSS, Pairs(x, torch.ones(4, dtype=torch.float64))), groups=4)
    assert got["bias"].zeros == 0
    for i, margin in enumerate(margins):
        # dq = -dl/dy is positive: the class +1 pulls the output up.
        (bin_,) = np.flatnonzero(got["bias"].group_positive[i])
        with mp.workdps(40):
            true = float(mp.log(abs(oracle.output_error("tanh", "mse", margin, 1)))) if margin < 700 else None
        true = math.log(16) - 4 * margin if true is None else true
        low = got["bias"].edges[bin_]
        assert low - 1e-9 <= true <= low + BIN_WIDTH + 1e-9


def test_pixels_that_are_zero_are_exact_zeros() -> None:
    data = classes((12, 4))
    data.x[:, 2] = 0.0
    got = measure(NeuralSystem(feed_forward(4, [3], "tanh", seed=0), LOSS, data))
    assert got["hidden1.weight"].zeros == 12 * 3
    assert got["hidden1.bias"].zeros == 0


def test_layers_and_all_are_pooled_and_name_their_axis() -> None:
    got = measure(NeuralSystem(feed_forward(2, [3], "tanh", seed=0), LOSS, classes((5, 2))))
    assert set(got) == {
        "hidden1.weight", "hidden1.bias", "hidden1", "output.weight", "output.bias", "output", POOLED,
    }  # fmt: skip
    assert got["hidden1"] == got["hidden1.weight"].merge(got["hidden1.bias"])
    assert got[POOLED] == got["hidden1"].merge(got["output"])
    assert got.axis("output.bias") == "samples"
    assert got.axis("output.weight") == "samples x variables"


def test_progress_ends_at_the_number_of_samples() -> None:
    told: list[tuple[int, int]] = []
    system = NeuralSystem(feed_forward(2, [3], "tanh", seed=0), LOSS, classes((5, 2)))
    measure(system, batch_size=2, progress=lambda done, samples: told.append((done, samples)))
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_a_lost_or_invented_fluctuation_is_noticed() -> None:
    sketch = LogSketch.from_values(np.array([1.0, 2.0]))
    for samples in (1, 3):
        with pytest.raises(InvalidInputError, match="were due"):
            Fluctuations({"q": sketch}, {"q": 1}, samples)


def test_an_unknown_quantity_is_refused_with_the_nearest_name() -> None:
    got = measure(NeuralSystem(feed_forward(2, [3], "tanh", seed=0), LOSS, classes((5, 2))))
    with pytest.raises(KeyError, match=r"did you mean .*output\.bias"):
        got["output.bia"]


def test_settings_out_of_range_are_refused() -> None:
    system = NeuralSystem(feed_forward(2, [3], "tanh", seed=0), LOSS, classes((5, 2)))
    with pytest.raises(InvalidInputError, match="groups"):
        measure(system, groups=0)
    with pytest.raises(InvalidInputError, match="batch size"):
        measure(system, batch_size=0)
    with pytest.raises(InvalidInputError, match="learning rate"):
        measure(system, lr=0.0)


def test_counts_that_would_fill_too_much_memory_are_kept_in_fewer_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    system = NeuralSystem(feed_forward(3, [4], "tanh", seed=0), LOSS, classes((30, 3)))
    monkeypatch.setattr("critlearn.fluctuations.accumulation.accumulator.MOST_COUNTS", 20_000)
    with pytest.warns(UserWarning, match="groups of samples are kept apart, not 24"):
        found = measure(system, batch_size=7, groups=24)
    groups = found[POOLED].groups
    assert groups in (12, 6, 3)
    monkeypatch.undo()
    expected = measure(system, batch_size=7, groups=groups)
    assert all(found[name] == expected[name] for name in expected)

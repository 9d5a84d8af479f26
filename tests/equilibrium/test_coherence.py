"""Drift and coherence of variables and along directions against plain NumPy on written-out changes."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from critlearn.compositions import Composition
from critlearn.equilibrium import Drift, Pull, certify
from critlearn.equilibrium.criteria import LEAST_SHARE
from critlearn.network import NeuralSystem, feed_forward
from reference.networks import Pairs, classes, logistic_cross_entropy, loop_of_autograd


def drift_of_changes(changes: np.ndarray, **arguments: float) -> Drift:
    """Drift of a state whose samples change the variables by the rows of a matrix, in some unit.

    A linear output of zero weights and squared error changes the weights by twice the target times the input.
    """
    model = nn.Linear(changes.shape[1], 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)
    data = Pairs(torch.from_numpy(changes), torch.ones(len(changes), dtype=torch.float64))
    return certify(NeuralSystem(model, Composition("identity", "mse"), data), **arguments).drift  # type: ignore[arg-type]


def assert_pull(found: Pull, changes: np.ndarray, decay: float = 0.0) -> None:
    """A pull is that of changes along a direction, sample by sample, with the decay added to their mean."""
    drift = abs(changes.mean() + decay)
    assert found.ratio == pytest.approx(drift / changes.std(), rel=1e-6, abs=1e-12)
    assert found.coherence == pytest.approx(drift / np.abs(changes).mean(), rel=1e-6, abs=1e-12)
    by_chance = math.sqrt(2 / math.pi) * math.sqrt((changes**2).sum()) / np.abs(changes).sum()
    assert found.by_chance == pytest.approx(by_chance, rel=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_pulls_of_a_network_are_those_of_a_loop_of_autograd(decay: float) -> None:
    model, data = feed_forward(4, [6, 3], "tanh", seed=4), classes((200, 4))
    certificate = certify(NeuralSystem(model, Composition("sigmoid", "bce"), data), weight_decay=decay)
    assert (certificate.decayed is None) == (decay == 0)
    plain = nn.Sequential(model.hidden1, nn.Tanh(), model.hidden2, nn.Tanh(), model.output)
    gradients = loop_of_autograd(plain, logistic_cross_entropy, data.x, data.t)
    changes = {
        name: -rows.reshape(200, -1).numpy()
        for name, rows in zip(certificate.moments.drift, gradients.values(), strict=True)
    }
    values = {name: value.detach().numpy().flatten() for name, value in model.named_parameters()}
    pulls = {pull.along: pull for pull in (certificate.decayed or certificate.drift).pulls}
    for name in ("hidden1.weight", "hidden2.weight", "output.weight"):
        unit = values[name] / np.linalg.norm(values[name])
        assert_pull(pulls.pop(f"weights of {name}"), changes[name] @ unit, -decay * np.linalg.norm(values[name]))
    joined = np.concatenate(list(changes.values()), axis=1)
    flat = np.concatenate(list(values.values()))
    _, singular, right = np.linalg.svd(joined - joined.mean(axis=0), full_matrices=False)
    shares = singular**2 / (singular**2).sum()
    number = min(20, int((shares >= LEAST_SHARE).sum()))
    assert set(pulls) == {f"principal direction {k + 1}" for k in range(number)}
    for k in range(number):
        assert_pull(pulls[f"principal direction {k + 1}"], joined @ right[k], -decay * (flat @ right[k]))


def test_shares_of_variables_are_counted() -> None:
    """Twenty variables: six drift by 0.11 of their fluctuation, the others by 0.09."""
    generator = np.random.default_rng(0)
    changes = generator.normal(size=(400, 20))
    changes = (changes - changes.mean(axis=0)) / changes.std(axis=0)
    changes += np.where(np.arange(20) < 6, 0.11, -0.09)
    assert drift_of_changes(changes).fraction == pytest.approx(0.7)
    assert drift_of_changes(changes, tolerance=0.12).fraction == 1.0
    assert drift_of_changes(changes, tolerance=0.05).fraction == 0.0
    # Units of the variables do not matter: squares of 1e-160 are no numbers.
    units = np.logspace(-160, 0, 20)
    assert drift_of_changes(changes * units).fraction == pytest.approx(0.7)
    allowing = drift_of_changes(changes, tolerance=0.5, exceptions=0.0)
    assert allowing.fraction == 1.0


def test_frozen_variables_do_not_count() -> None:
    changes = np.random.default_rng(1).normal(size=(100, 4))
    changes -= changes.mean(axis=0)
    changes[:, 0] += 1
    assert drift_of_changes(changes).fraction == 0.75
    changes[:, 1] = 0
    assert drift_of_changes(changes).fraction == pytest.approx(2 / 3)


@pytest.mark.parametrize(("movers", "coherent"), [(15, 0.0), (16, 0.5), (40, 0.5)])
@pytest.mark.parametrize("heavy", [False, True])
def test_a_feature_of_one_class_is_coherent_from_sixteen_samples_on(movers: int, coherent: float, heavy: bool) -> None:
    """Few of 4,000 samples move the second variable, all one way: its drift is below a tenth of its fluctuation."""
    generator = np.random.default_rng(2)
    changes = np.zeros((4000, 2))
    changes[:, 0] = generator.normal(size=4000)
    changes[:, 0] -= changes[:, 0].mean()
    size = 1 + generator.pareto(0.7, movers) if heavy else np.ones(movers)
    changes[:movers, 1] = size
    found = drift_of_changes(changes)
    assert found.coherent == coherent
    if not heavy:
        assert found.fraction == (1.0 if movers <= 39 else 0.5)
    # One sample in a hundred that pushes the other way is enough to leave it undecided if it is large.
    if movers == 40:
        changes[0, 1] = -size.sum()
        assert drift_of_changes(changes).coherent == 0.0


def test_half_the_samples_one_way_is_coherent_if_chance_would_not_make_it() -> None:
    """Of n equal changes 80% push one way: a coherence of 0.6, which chance makes of a few."""
    for samples, coherent in ((40, 0.0), (50, 1.0)):
        changes = np.where(np.arange(samples) < 0.8 * samples, 1.0, -1.0)
        found = drift_of_changes(changes[:, None])
        assert found.coherent == coherent


@pytest.mark.parametrize("heavy", [False, True])
def test_level_by_chance_is_the_mean_coherence_of_random_signs(heavy: bool) -> None:
    generator = np.random.default_rng(3)
    size = 1 + generator.pareto(1.5, 300) if heavy else generator.random(300)
    found = drift_of_changes((size * generator.choice([-1, 1], 300))[:, None]).pulls[0]
    draws = np.abs(generator.choice([-1, 1], (4000, 300)) @ size) / size.sum()
    # Sums of random signs are about normal where no single size rules; the heaviest tail here is 3% off.
    assert draws.mean() == pytest.approx(
        found.by_chance, abs=4 * draws.std() / math.sqrt(4000) + (0.03 if heavy else 0) * found.by_chance
    )


def test_a_common_direction_drifts_where_single_variables_do_not() -> None:
    """A hundred variables, each mostly noise, share one push: only the direction of all of them shows it."""
    generator = np.random.default_rng(4)
    noise = generator.normal(size=(2001, 100))
    push = 2 * generator.normal(size=2001)
    noise, push = noise - noise.mean(axis=0), push - push.mean() + 0.5
    # Along the direction 0.5 beside sqrt(1 + 4); for a single variable 0.05 beside sqrt(1 + 0.04).
    found = drift_of_changes(noise + push[:, None] * generator.choice([-0.1, 0.1], 100))
    assert found.fraction == 1.0
    assert found.coherent == 0.0
    assert found.pulls[0].along == "principal direction 1"
    assert found.pulls[0].ratio == pytest.approx(0.5 / math.sqrt(5), abs=0.06)
    assert not found.within
    assert "common drift along the principal direction 1" in found.reasons[-1]


def test_reasons_name_what_drifts_and_nothing_else() -> None:
    fine = Pull("weights of a", 0.05, 0.1, 0.01)
    assert Drift(0.96, 0.0, (fine,)).reasons == ()
    assert Drift(0.96, 0.0, (fine,)).within
    assert "94.0%" in Drift(0.94, 0.0, ()).reasons[0]
    assert Drift(0.94, 0.0, (), exceptions=0.1).within
    assert "0.20%" in Drift(1.0, 0.002, ()).reasons[0]
    # 0.31 is coherent only where chance gives less than a fifth of it.
    for by_chance, within in ((0.05, True), (0.07, True)):
        assert Pull("b", 0.09, 0.29, by_chance).within(0.1) is within
    assert not Pull("b", 0.09, 0.31, 0.05).within(0.1)
    assert Pull("b", 0.09, 0.31, 0.07).within(0.1)
    assert not Pull("b", 0.11, 0.0, 0.01).within(0.1)
    worst = Drift(1.0, 0.0, (fine, Pull("weights of b", 0.2, 0.1, 0.1), Pull("weights of c", 0.5, 0.1, 0.1)))
    assert "weights of c" in worst.reasons[0]
    assert len(worst.reasons) == 1

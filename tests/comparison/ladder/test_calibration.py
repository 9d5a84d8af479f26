"""A level that is right is rejected as seldom as it says; one that is wrong is rejected."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.comparison.ladder.synthetic import heavy, ladder, skew

from critlearn.comparison.agreement import Agreement
from critlearn.comparison.ladder.distance import Distance, distance_of
from critlearn.comparison.ladder.ladder import Ladder
from critlearn.comparison.ladder.level import GAUSSIAN, MARGINS
from critlearn.compositions import Composition
from critlearn.inference import PowerLawFit, fit_power_law
from critlearn.numerics.log_sketch import LogSketch
from critlearn.numerics.window import Window

REPEATED = 200


def distance(steps: Ladder, level: int, seed: int = 0) -> Distance:
    """Distance of a level of the only quantity."""
    made = steps._made("q")
    return distance_of(made.levels[level], made.measured, seed=seed)


@pytest.mark.parametrize("level", [GAUSSIAN, MARGINS])
def test_a_level_that_is_right_is_rejected_as_often_as_it_says(level: int) -> None:
    margins = {} if level == GAUSSIAN else {"margins": skew}
    p_values = [distance(ladder(2000, seed, **margins), level, seed).p_value for seed in range(REPEATED)]  # type: ignore[arg-type]
    # Four standard errors of a share of 5%, beside 1% for groups that are 64 and not infinitely many.
    allowed = 4 * math.sqrt(0.05 * 0.95 / REPEATED) + 0.01
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=allowed)
    assert np.mean(np.array(p_values) <= 0.5) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(REPEATED))


@pytest.mark.parametrize(
    ("level", "wrong"),
    [
        (GAUSSIAN, {"margins": heavy}),
        (GAUSSIAN, {"margins": skew}),
        (GAUSSIAN, {"dependence": 0.3}),
        (MARGINS, {"dependence": 0.3}),
        (MARGINS, {"dependence": -0.3}),
        (GAUSSIAN, {"told": Composition("tanh", "mse")}),
        (MARGINS, {"told": Composition("softsign", "mse")}),
    ],
)
def test_a_level_that_is_wrong_is_rejected(level: int, wrong: dict[str, object]) -> None:
    p_values = [distance(ladder(20_000, seed, **wrong), level, seed).p_value for seed in range(5)]  # type: ignore[arg-type]
    # Were a tenth of them missed, all five would be found in 59 of 100 cases; none is missed.
    assert max(p_values) <= 0.05


@pytest.mark.parametrize("turns", [2, 4, 10, 64])
def test_classes_that_take_turns_come_to_both_halves(turns: int) -> None:
    found = distance(ladder(8000, 3, turns=turns), MARGINS)
    # The 99.9% quantile of two halves of 4,000 independent samples is 1.95 sqrt(2 / 4000).
    assert max(found.value, found.noise) < 1.95 * math.sqrt(2 / 4000)


def test_outcomes_are_of_the_kind_and_the_number() -> None:
    """Certain agreement takes samples, and a dependence that moves a tenth of them is certain to disagree."""
    few, many, wrong = ladder(300, 0), ladder(60_000, 1), ladder(20_000, 2, dependence=1.0)
    outcomes = []
    for steps in (few, many, wrong):
        outcomes.append(steps.levels("q", fit_on_quantiles(steps))[GAUSSIAN].agreement)
    assert outcomes == [Agreement.CANNOT_TELL, Agreement.AGREES, Agreement.DISAGREES]


def test_the_number_that_would_decide_does() -> None:
    """Asked at 500 samples, in most of the cases three times the number that is named are enough."""
    named = []
    for seed in range(10):
        steps = ladder(500, seed)
        level = steps.levels("q", fit_on_quantiles(steps))[GAUSSIAN]
        assert level.agreement is not Agreement.DISAGREES
        named.append(level.needed or math.inf)
    number = 3 * float(np.median(named))
    assert 500 < number < 60_000
    decided = [ladder(int(number), 100 + seed) for seed in range(6)]
    outcomes = [steps.levels("q", fit_on_quantiles(steps))[GAUSSIAN].agreement for steps in decided]
    assert outcomes.count(Agreement.AGREES) >= 4


@pytest.mark.parametrize("zeros", [0.9, 0.99])
def test_zeros_do_not_hide_a_wrong_distribution(zeros: float) -> None:
    """The same dependence, whatever share of the variables a sample reaches."""
    plain, sparse = (ladder(20_000, 5, dependence=1.0, zeros=share) for share in (0.0, zeros))
    assert distance(plain, MARGINS).value > 0.05
    # 99.9% quantile of two halves of so many values.
    chance = 1.95 * math.sqrt(2 / (10_000 * 8 * (1 - zeros)))
    assert distance(sparse, MARGINS).value == pytest.approx(distance(plain, MARGINS).value, abs=chance)
    assert distance(sparse, MARGINS).p_value < 0.05


def test_values_below_the_resolution_are_counted_and_not_told_apart() -> None:
    steps = ladder(4000, 7)
    sketch, floor = steps.measured["q"], float(steps.measured["q"].quantile(0.2))
    counts = sketch.group_counts.copy()
    lost = int(np.searchsorted(sketch.edges, floor))
    # Rounding: what lies below the floor is moved to the bin under it, or is all of it in the lowest bin.
    for place in (lost - 1, 0):
        rounded = counts.copy()
        rounded[:, :lost] = 0
        rounded[:, place] = counts[:, :lost].sum(axis=1)
        moved = LogSketch(sketch.first_bin, rounded, np.zeros_like(rounded), sketch.group_zeros)
        seen = replace(steps, measured=replace(steps.measured, sketches={"q": moved}))
        known = replace(steps, measured=replace(seen.measured, log_floor=sketch.edges[lost]))
        assert seen.distance("q", MARGINS).value > 0.1
        # Both halves of 4,000 samples share the variables of a sample: 1.95 standard deviations of as many values.
        assert known.distance("q", MARGINS).value < 1.95 * math.sqrt(2 / 2000)


def fit_on_quantiles(steps: Ladder) -> PowerLawFit:
    """Fit from the 2% to the 50% quantile."""
    sketch = steps.measured["q"]
    return fit_power_law(sketch, window=Window.from_logs(sketch.quantile(0.02), sketch.quantile(0.5)))

"""Interval of an ensemble's exponent: coverage in simulations with known errors over seeds and samples."""

import numpy as np
import pytest
from jaxtyping import Float64

from critlearn.inference import fit_power_law
from critlearn.inference.window.ensemble import ensemble_exponent
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.numerics.window import Window

GROUPS = 40
WINDOW = Window.from_logs(-800 * BIN_WIDTH, 0.0)
EXPONENT = 1.4


def _network(uniform: Float64[np.ndarray, " sample"], exponent: float) -> LogSketch:
    """Sketch of draws of a power law on the window, by its quantile function; sample i is in group i modulo 40."""
    # u = ln delta has the density exp((1 - k) u) between the ends.
    slope = 1 - exponent
    ends = np.exp(slope * np.array([WINDOW.log_lo, WINDOW.log_hi]))
    log_abs = np.log(ends[0] + uniform * (ends[1] - ends[0])) / slope
    return LogSketch.from_logs(log_abs, group=np.arange(uniform.size) % GROUPS, groups=GROUPS)


@pytest.mark.parametrize(
    ("networks", "own_data", "seed_sd", "at_most"),
    [
        # Student's t is exact where there is one source of errors; two of them are covered more often than 95%.
        (8, True, 0.1, 0.95),
        (3, True, 0.1, 0.95),
        (8, False, 0.0, 0.95),
        (8, False, 0.02, 1.0),
        (4, True, 0.0, 1.0),
    ],
)
def test_interval_of_the_mean_covers_the_exponent(
    networks: int, own_data: bool, seed_sd: float, at_most: float
) -> None:
    trials, samples = 100, 1000
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(trials):
        shared = generator.random(samples)
        exponents = EXPONENT + seed_sd * generator.standard_normal(networks)
        sketches = [_network(generator.random(samples) if own_data else shared, k) for k in exponents]
        found = ensemble_exponent(sketches, WINDOW)
        assert found.ci95 is not None
        covered += found.ci95[0] <= EXPONENT <= found.ci95[1]
    tolerance = 4 * (0.95 * 0.05 / trials) ** 0.5
    assert 0.95 - tolerance <= covered / trials <= at_most + tolerance


@pytest.mark.parametrize("samples", [(2000,) * 5, (4000, 600, 600, 600)])
def test_pooled_interval_with_the_seeds_part_covers_the_exponent(samples: tuple[int, ...]) -> None:
    trials, covered, alone = 100, 0, 0
    generator = np.random.default_rng(6)
    for _ in range(trials):
        shared = generator.random(max(samples))
        # What is left out of a network lies elsewhere, in the same groups.
        exponents = EXPONENT + 0.1 * generator.standard_normal(len(samples))
        sketches = [_network(shared[:number], k) for number, k in zip(samples, exponents, strict=True)]
        pooled = fit_power_law(LogSketch.pooled(sketches), WINDOW)
        assert pooled.exponent is not None
        assert pooled.ci95 is not None
        found = ensemble_exponent(sketches, WINDOW)
        assert found.seed_error is not None
        half = 0.5 * (pooled.ci95[1] - pooled.ci95[0])
        covered += abs(pooled.exponent - EXPONENT) <= np.hypot(half, found.seed_error)
        alone += abs(pooled.exponent - EXPONENT) <= half
    assert covered / trials >= 0.95 - 4 * (0.95 * 0.05 / trials) ** 0.5
    # The test would see it if the part of the seeds were left out.
    assert alone / trials < 0.8


def test_networks_that_are_the_same_have_the_interval_of_one() -> None:
    sketch = _network(np.random.default_rng(7).random(3000), EXPONENT)
    one = fit_power_law(sketch, WINDOW)
    found = ensemble_exponent([sketch] * 4, WINDOW)
    assert one.ci95 is not None
    assert found.ci95 is not None
    assert found.exponents == pytest.approx([one.exponent] * 4, abs=1e-9)
    assert found.sd == pytest.approx(0.0, abs=1e-12)
    assert found.seed_error == pytest.approx(0.0, abs=1e-6)
    assert np.subtract(*found.ci95) == pytest.approx(np.subtract(*one.ci95), rel=1e-6)


def test_networks_without_fluctuations_on_the_window_have_no_exponent() -> None:
    generator = np.random.default_rng(8)
    some = _network(generator.random(500), EXPONENT)
    far = LogSketch.from_logs(np.full(500, 20.0), group=np.arange(500) % GROUPS, groups=GROUPS)
    alone = ensemble_exponent([some, far], WINDOW)
    assert alone.exponents[1] is None
    assert alone.mean == alone.exponents[0]
    assert alone.sd is None
    assert alone.ci95 is None
    assert alone.seed_error is None
    assert ensemble_exponent([some, far], None).exponents == (None, None)
    three = ensemble_exponent([some, far, _network(generator.random(500), EXPONENT)], WINDOW)
    assert three.exponents[1] is None
    assert three.sd is not None
    assert "mean of 2 networks" in three.summary()

"""Data of hardly any values or sizes are too few data, without a warning; fits go to other processes."""

import math
import pickle
from typing import Any

import numpy as np
import pytest

from critlearn.errors import InvalidInputError
from critlearn.inference import Criteria, Grade, Histogram, PowerLawFit, fit_power_law
from critlearn.numerics.log_sketch import LogSketch
from reference.power_law_samples import clustered_power_law, integers, power_law, with_cutoff

FEW = Criteria(replicates=20)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", ["both", "small", "large"])
@pytest.mark.parametrize(
    "values",
    [
        [5e-324] * 20,
        [5e-324] * 99 + [1e-323],
        [1, 1, 1],
        [1.0, 2.0],
        [1, 2] * 50,
        [3.0] * 500,
        [1.7e308] * 99,
        [0.0] * 9,
    ],
    ids=["smallest", "two smallest", "ones", "two", "two integers", "all equal", "largest", "zeros"],
)
def test_hardly_any_sizes_are_too_few(values: list[float], side: Any) -> None:
    fit = fit_power_law(values, side=side, criteria=FEW)
    assert fit.grade is Grade.TOO_FEW
    assert fit.count == len(values)
    assert fit.exponent is None or (fit.ci95 is not None and fit.ci95[0] <= fit.exponent <= fit.ci95[1])
    assert fit.summary()
    assert fit.to_dict()["verdict"] == "too few data"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", ["both", "large"])
@pytest.mark.parametrize("power", [0.0, -2.0])
def test_thirty_sizes_to_infinity_raise_no_warning(power: float, side: Any) -> None:
    sizes = np.arange(1, 31.0)
    values = np.random.default_rng(0).choice(sizes, 2_000, p=sizes**power / (sizes**power).sum())
    fit = fit_power_law(values, side=side, criteria=FEW)
    assert fit.discrete
    assert fit.sizes is not None
    assert fit.sizes <= 30
    # Nearly all of a law of k = 2 lies below 30: its end is hardly seen; that of equal numbers is.
    assert fit.grade is not Grade.POWER_LAW or power == -2.0


@pytest.mark.parametrize("name", ["negative binomial", "five sizes"])
def test_few_sizes_of_integers_are_no_power_law(name: str) -> None:
    generator = np.random.default_rng(0)
    share = np.arange(1, 6.0) ** -2
    values = generator.choice(np.arange(1, 6), 10_000, p=share / share.sum())
    if name == "negative binomial":
        values = generator.negative_binomial(0.5, 1 / 11, 10_000) + 1
    fit = fit_power_law(values, criteria=FEW)
    assert fit.discrete
    assert fit.grade is not Grade.POWER_LAW
    if name == "five sizes":
        assert (fit.grade, fit.sizes) == (Grade.TOO_FEW, 5)


@pytest.mark.parametrize("sizes", [6, 20, 60, 400])
@pytest.mark.parametrize("given", [None, (1e-5, 1.0)])
def test_clusters_that_are_all_alike_have_no_error(sizes: int, given: tuple[float, float] | None) -> None:
    # As where a network gives the same fluctuations for every sample.
    values = np.tile(np.geomspace(1.3e-5, 0.9, sizes), 640)
    fit = fit_power_law(values, given, cluster=np.repeat(np.arange(640), sizes), criteria=FEW)
    assert fit.grade is Grade.TOO_FEW
    assert "every sample has the same values" in fit.reason


def kinds() -> dict[str, Any]:
    """Data of every kind that a fit takes."""
    values = power_law(1.5, 1e-3, 1.0, 1_000, 0)
    clustered, labels = clustered_power_law(1.0, 1e-3, 1.0, 50, 20, 0.5, 0)
    counts, edges = np.histogram(values, np.geomspace(1e-3, 1.0, 41))
    return {
        "values": (values, {}),
        "sketch": (LogSketch.from_values(values), {}),
        "histogram": (Histogram(counts, edges), {}),
        "shares": (Histogram(counts / counts.sum(), edges), {}),
        "integers": (integers(2.0, 1, 1_000, 0), {}),
        "given": (values, {"window": (1e-2, 1.0)}),
        "tail": (values, {"xmin": 1e-3}),
        "cutoff": (with_cutoff(1.5, 100.0, 5_000, 0), {}),
        "clusters": (clustered, {"cluster": labels}),
        "few": (values[:20], {}),
        "equal": (np.ones(9), {}),
    }


@pytest.mark.parametrize("kind", list(kinds()))
def test_fits_are_pickled(kind: str) -> None:
    data, options = kinds()[kind]
    fit = fit_power_law(data, criteria=FEW, **options)
    assert fit.cutoff is not None or kind != "cutoff"
    copy = pickle.loads(pickle.dumps(fit))
    assert isinstance(copy, PowerLawFit)
    assert copy.to_dict() == fit.to_dict()
    assert copy.grade is fit.grade
    if fit.law is not None:
        assert copy.ppf(0.5) == fit.ppf(0.5)
        assert math.isfinite(copy.alternatives[0].log_density(np.zeros(1))[0]) if copy.alternatives else True


@pytest.mark.parametrize("n", [0, -1, math.nan, math.inf])
def test_a_number_of_values_is_positive(n: float) -> None:
    with pytest.raises(InvalidInputError, match="number of values of a histogram"):
        Histogram([0.5, 0.5], [1.0, 2.0, 4.0], n=n)


def test_frequencies_are_told_from_counts() -> None:
    edges = [1.0, 2.0, 4.0]
    assert Histogram([1, 3], edges).number_known
    assert not Histogram([0.25, 0.75], edges).number_known
    known = Histogram([0.25, 0.75], edges, n=80)
    assert known.number_known
    assert known.counts.tolist() == [20, 60]

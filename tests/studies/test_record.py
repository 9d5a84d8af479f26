"""Records of small runs have every promised number and no NaN."""

import json
import math
from collections.abc import Iterator
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from critlearn.analysis import Analysis
from critlearn.errors import InvalidInputError
from critlearn.results import plain
from critlearn.studies import ToyConfig, TwoClassConfig, run_toy, run_two_class
from reference.small_runs import TOY, TWO_CLASS


@pytest.fixture(scope="module", autouse=True)
def as_in_production() -> Iterator[None]:
    """A run is many calls: the checker of shapes is for the tests of the parts."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def numbers(value: Any) -> Iterator[float]:
    """All numbers in nested plain values; anything that is not plain fails."""
    if isinstance(value, dict):
        assert all(isinstance(key, str) for key in value)
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif type(value) in (int, float):
        yield value
    else:
        assert value is None or type(value) in (str, bool)


@pytest.mark.parametrize("kind", ["two_class", "toy"])
def test_the_record_is_plain_and_has_no_nan(kind: str, request: pytest.FixtureRequest) -> None:
    record = request.getfixturevalue(kind).record
    assert all(math.isfinite(number) for number in numbers(record))
    assert json.loads(json.dumps(record, allow_nan=False)) == record


@pytest.mark.parametrize("kind", ["two_class", "toy"])
def test_the_record_has_what_was_promised(kind: str, request: pytest.FixtureRequest) -> None:
    record = request.getfixturevalue(kind).record
    assert {
        "run_dir", "config", "versions", "seed", "seconds", "equilibrium", "accuracy", "quantities",
    } <= record.keys()  # fmt: skip
    assert {"certified", "reason", "fraction", "frozen", "epochs"} <= record["equilibrium"].keys()
    for quantity in record["quantities"].values():
        assert {
            "axis", "count", "zeros", "measured", "predicted", "agreement", "statement",
        } <= quantity.keys()  # fmt: skip
        assert {
            "exponent", "stderr", "ci95", "window", "decades", "n", "ks", "p_value", "verdict",
        } <= quantity["measured"].keys()  # fmt: skip
        if quantity["predicted"] is not None:
            assert {"exponent", "exact", "window", "decades"} <= quantity["predicted"].keys()


def test_names_and_counts_of_the_quantities(two_class: Analysis, toy: Analysis) -> None:
    assert set(toy.record["quantities"]) == {"bias", "weight"}
    sizes = {
        "output.bias": 1, "output.weight": 6, "hidden1.bias": 6, "hidden1.weight": 12, "all": 25,
        "output": 7, "hidden1": 18, "all.bias": 7, "all.weight": 18,
    }  # fmt: skip
    assert set(two_class.record["quantities"]) == set(sizes)
    for name, size in sizes.items():
        assert two_class.record["quantities"][name]["count"] == 2000 * size
    assert two_class.record["quantities"]["output.bias"]["axis"] == "samples"


def test_the_accuracy_is_that_of_the_stored_weights(toy: Analysis) -> None:
    # The classes overlap in [-0.3, 0.3] of [-0.3, 2.3]: a threshold at 0 is wrong for 0.3 / 2.6 of the samples.
    error = 0.3 / 2.6
    assert toy.record["accuracy"] == pytest.approx(1 - error, abs=5 * math.sqrt(error / 20_000))
    assert float(toy.weights["weight"]) == toy.record["weight"]
    assert float(toy.weights["bias"]) == toy.record["bias"]


def test_the_zeros_and_logarithms_of_the_toy_model_are_those_of_its_formula(toy: Analysis) -> None:
    from critlearn.prediction import parse_density
    from critlearn.studies.toy import drawn_classes

    data = drawn_classes(parse_density("uniform(-0.3,2.3)"), 20_000, 0)
    y = toy.record["weight"] * data.x[:, 0].numpy() + toy.record["bias"]
    t = data.signs.numpy()
    # |dl/dy| of (softsign(y) - t)^2 on the right side: 2 (1 + |y|)^-3, on the wrong one 2 (1 + 2|y|) (1 + |y|)^-3.
    size = np.abs(y)
    log_error = np.log(2) - 3 * np.log1p(size) + np.where(t * y > 0, 0, np.log1p(2 * size))
    sketch = toy.fluctuations["bias"]
    for probability in (0.01, 0.3, 0.5, 0.9, 0.99):
        expected = np.quantile(log_error, probability, method="inverted_cdf")
        assert sketch.quantile(probability) == pytest.approx(expected, abs=0.011)


def test_inputs_are_drawn_mirrored_for_the_other_class() -> None:
    from critlearn.prediction import parse_density
    from critlearn.studies.toy import drawn_classes

    data = drawn_classes(parse_density("uniform(-0.3,2.3)"), 50_000, 1)
    along = (data.x[:, 0] * data.signs).numpy()
    assert along.min() >= -0.3
    assert along.max() <= 2.3
    assert along.mean() == pytest.approx(1.0, abs=5 * 2.6 / math.sqrt(12 * 50_000))
    assert float(data.signs.mean()) == pytest.approx(0.0, abs=5 / math.sqrt(50_000))


def test_a_seed_repeats_bit_for_bit(two_class: Analysis) -> None:
    again = run_two_class(TwoClassConfig(**TWO_CLASS))  # type: ignore[arg-type]
    assert all(torch.equal(again.weights[name], value) for name, value in two_class.weights.items())
    assert all(again.fluctuations[name] == two_class.fluctuations[name] for name in two_class.fluctuations)
    first, second = ({**result.record, "seconds": 0} for result in (two_class, again))
    assert first == second


def test_the_toy_model_refuses_data_with_more_features() -> None:
    with pytest.raises(InvalidInputError, match=r'"moons" has 2 features: use `run two-class`'):
        run_toy(ToyConfig(data="moons", **TOY))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_do_not_exist_are_none(value: float) -> None:
    assert plain({"a": (1, value, [value]), "b": {"c": value}}) == {"a": [1, None, [None]], "b": {"c": None}}

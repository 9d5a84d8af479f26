"""The toy model: measured exponents against the hand-derived ones."""

import pytest

from critlearn.studies import ToyConfig, run_toy

SAMPLES = 500_000
"""A quarter of what `validation/toy_exponents.py` takes."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "loss", "exponent"),
    [
        ("sigmoid", "bce", 1.0),
        ("tanh", "mse", 1.0),
        ("softsign", "mse", 4 / 3),
        ("softsign", "bce", 3 / 2),
        ("arctan", "mse", 4 / 3),
    ],
)
def test_uniform_inputs_show_the_exponent_of_the_composition(activation: str, loss: str, exponent: float) -> None:
    record = run_toy(ToyConfig(activation=activation, loss=loss, samples=SAMPLES)).record
    bias = record["quantities"]["bias"]
    assert record["equilibrium"]["certified"]
    assert bias["count"] == SAMPLES
    assert bias["measured"]["verdict"] == "power law"
    assert bias["measured"]["decades"] >= 1
    assert abs(bias["measured"]["exponent"] - exponent) <= 0.05
    assert abs(bias["predicted"]["exponent"] - exponent) <= 1e-12
    assert bias["agreement"] == "agrees"


@pytest.mark.slow
def test_laplace_inputs_lower_the_exponent_by_the_rate_of_their_tail() -> None:
    record = run_toy(ToyConfig(inputs="laplace(1,0.7)", samples=SAMPLES)).record
    bias = record["quantities"]["bias"]
    assert record["equilibrium"]["certified"]
    assert abs(bias["measured"]["exponent"] - (1 - 1 / (0.7 * record["weight"]))) <= 0.05
    assert bias["measured"]["decades"] >= 1
    assert bias["agreement"] == "agrees"


@pytest.mark.slow
def test_gaussian_inputs_are_not_called_a_power_law_over_the_whole_range() -> None:
    record = run_toy(ToyConfig(inputs="normal(1,1)", samples=SAMPLES)).record
    measured = record["quantities"]["bias"]["measured"]
    # delta is lognormal far out, with the exponent 1 + (ln delta + a mu) / (a s)^2: it rises with delta.
    assert measured["lognormal_whole"]["preferred"]
    assert measured["lognormal_whole"]["drift"] > 0.5
    if measured["verdict"] == "power law":
        assert measured["retained"] < 0.9
        assert "lognormal" in record["quantities"]["bias"]["statement"]
    else:
        assert measured["verdict"] in ("drifting exponent", "rejected") or "lognormal" in measured["rivals"]
        assert measured["exponent"] is not None

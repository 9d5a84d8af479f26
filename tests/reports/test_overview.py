"""First screen of a page: sentences by grade, what was done, and where a prediction lies that is off."""

import math
from typing import Any

import numpy as np
import pytest

from critlearn.numerics.log_sketch import LogSketch
from critlearn.reports.overview import agreement_sentence, grade_sentences, miss_sentence
from critlearn.reports.typeset import typeset


def _entry(verdict: str, exponent: float | None, **more: Any) -> dict[str, Any]:
    interval = None if exponent is None else [exponent - 0.1, exponent + 0.1]
    measured = {"verdict": verdict, "exponent": exponent, "ci95": interval, "decades": 3.0}
    return {"measured": measured, "predicted": None, "agreement": None, **more}


def test_laws_come_first_and_pools_do_not_count() -> None:
    quantities = {
        "a": _entry("too few data", None),
        "b": _entry("compatible", 1.5),
        "c": _entry("power law", 1.25),
        "d": _entry("compatible", 0.5),
        "all": _entry("power law", 1.0, pool=True),
    }
    assert grade_sentences(quantities) == [
        ("Power law: 1 of 4", "c delta^-1.25 [1.15, 1.35] over 3.0 decades"),
        (
            "Compatible: 2 of 4",
            "b delta^-1.50 [1.40, 1.60] over 3.0 decades; d delta^-0.50 [0.40, 0.60] over 3.0 decades",
        ),
        ("Too few data: 1 of 4", "a"),
    ]


def test_a_sentence_names_six_variables_and_counts_the_others() -> None:
    quantities = {f"v{at}": _entry("power law", 1.0) for at in range(9)}
    ((grade, found),) = grade_sentences(quantities)
    assert grade == "Power law: 9 of 9"
    assert "v5" in found
    assert "v6" not in found
    assert found.endswith("; and 3 more")


def test_predictions_are_counted_by_outcome_and_misses_told() -> None:
    predicted = {"exponent_on_measured_window": 1.5}
    quantities = {
        "a": _entry("power law", 1.0, predicted=predicted, agreement="disagrees"),
        "b": _entry("power law", 1.5, predicted=predicted, agreement="agrees"),
        "c": _entry("compatible", 1.5, predicted=predicted, agreement="cannot tell"),
        "d": _entry("compatible", 1.5),
    }
    assert agreement_sentence(quantities) == (
        "3 of 4 variables are predicted: 1 agree, 1 disagree (a: 1.50 predicted, 1.00 measured), "
        "1 cannot be told at this number of samples."
    )
    assert agreement_sentence({"d": quantities["d"]}) == ""


@pytest.mark.parametrize(("decades", "where"), [(2.0, "2.0 decades above"), (-1.5, "1.5 decades below")])
def test_a_prediction_that_is_far_off_says_where_it_lies(decades: float, where: str) -> None:
    # ln|dq| uniform over four units; predicted the same, shifted.
    sketch = LogSketch.from_logs(np.linspace(-4.0, 0.0, 4001), None)
    size = np.linspace(-4.0, 0.0, 100) + decades * math.log(10)
    curve = {"log_delta": size.tolist(), "log_density": [math.log(0.25)] * 100}
    quantity = {"prediction_distance": 0.9, "curves": {"predicted": curve}}
    assert where in miss_sentence(quantity, sketch)
    assert miss_sentence({**quantity, "prediction_distance": 0.03}, sketch) == ""
    assert miss_sentence({"prediction_distance": 0.9, "curves": {"predicted": None}}, sketch) == ""


def test_text_is_escaped_before_it_is_set() -> None:
    assert str(typeset("<b>delta^-1.5</b> at -3")) == "&lt;b&gt;δ<sup>−1.5</sup>&lt;/b&gt; at −3"
    assert str(typeset("digits-3v8 at 1e-05, 2026-11")) == "digits-3v8 at 1e-05, 2026-11"

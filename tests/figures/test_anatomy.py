"""Stairs of exponents: steps begin where the last one ended and lead to what was measured, in the network's order."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from critlearn.errors import InvalidInputError
from critlearn.figures.anatomy import anatomy_figure, anatomy_through_training, explained
from critlearn.figures.illustration import drawn_data


def entry(composition: float | None, data: float, path: float, dependence: float, **others: Any) -> dict[str, Any]:
    """Entry of a record whose parts add up to its exponent."""
    values = {"composition": composition, "data": data, "path": path, "dependence": dependence}
    parts = {
        name: None if value is None else {"value": value, "standard_error": 0.01} for name, value in values.items()
    }
    total = math.fsum(value for value in values.values() if value is not None)
    measured = {"exponent": total, "ci95": [total - 0.03, total + 0.03]}
    return {"anatomy": {**parts, "total": total}, "measured": measured, "pool": False, **others}


# As a record has them: from the output backwards, then the pools.
QUANTITIES = {
    "output.bias": entry(1.0, -0.5, 0.0, 0.0),
    "hidden1.bias": entry(0.99, -0.45, 0.09, -0.01),
    "all": entry(0.99, -0.45, 0.09, -0.01, pool=True),
    "hidden1.weight": {"anatomy": None, "measured": {"exponent": None, "ci95": None}},
}


def ends(figure: Any, series: str) -> list[float]:
    data = drawn_data(figure)
    return data.loc[data["series"] == series, "exponent k of p(|δq|) ~ |δq|⁻ᵏ"].tolist()


def test_variables_stand_from_the_input_to_the_output() -> None:
    assert list(explained(QUANTITIES)) == ["hidden1.bias", "output.bias"]
    shown = [text.get_text() for text in anatomy_figure(QUANTITIES).axes[0].texts]
    assert shown.index("hidden1.bias") < shown.index("output.bias")


def test_steps_lead_from_zero_to_the_measured_exponent() -> None:
    figure = anatomy_figure(QUANTITIES)
    reached = 0.0
    for word, value in (("composition", 0.99), ("data", -0.45), ("depth", 0.09), ("dependence", -0.01)):
        assert ends(figure, f"hidden1.bias: {word}") == pytest.approx([reached, reached + value])
        reached += value
    assert ends(figure, "hidden1.bias: measured") == pytest.approx([reached])
    assert ends(figure, "hidden1.bias: 95% interval") == pytest.approx([reached - 0.03, reached + 0.03])


def test_the_legend_hides_nothing() -> None:
    figure = anatomy_figure(QUANTITIES)
    figure.savefig("/dev/null", format="png")
    (legend,) = figure.legends
    assert legend.get_window_extent().y0 >= figure.axes[0].get_window_extent().y1
    assert [text.get_text() for text in legend.get_texts()][:4] == ["composition", "data", "depth", "dependence"]


def test_without_margins_composition_and_data_are_one_step() -> None:
    figure = anatomy_figure({"output.bias": entry(None, 0.6, 0.1, 0.0)})
    assert ends(figure, "output.bias: composition and data") == pytest.approx([0.0, 0.6])
    assert ends(figure, "output.bias: composition") == []


def test_what_has_no_anatomy_is_refused() -> None:
    for quantities in ({}, {"bias": {"anatomy": None, "measured": {"exponent": 1.0}}}, {"bias": {"measured": {}}}):
        with pytest.raises(InvalidInputError, match="no variable has an anatomy"):
            anatomy_figure(quantities)


def analysis(**quantities: Any) -> Any:
    return SimpleNamespace(record={"quantities": quantities})


def test_parts_are_followed_through_training() -> None:
    missing = {"anatomy": None, "measured": {"exponent": None, "ci95": None}}
    analyses = [
        analysis(output=entry(1.0, -0.4, 0.2, 0.1), hidden=missing),
        analysis(output=entry(1.0, -0.2, 0.1, 0.0), hidden=entry(1.0, -0.3, 0.2, 0.0)),
        analysis(output=entry(1.0, -0.5, 0.3, 0.2), hidden=entry(1.0, -0.1, 0.2, 0.0)),
    ]
    figure = anatomy_through_training(analyses, [10, 1, 100])
    first, second = figure.axes
    assert [axes.get_title() for axes in (first, second)] == ["hidden", "output"]
    lines = {str(line.get_label()): line for line in (*first.lines, *second.lines)}
    np.testing.assert_allclose(lines["_output: data"].get_xdata(), [1, 10, 100])
    np.testing.assert_allclose(lines["_output: data"].get_ydata(), [-0.2, -0.4, -0.5])
    np.testing.assert_allclose(lines["_hidden: data"].get_ydata(), [-0.3, math.nan, -0.1])
    np.testing.assert_allclose(lines["_output: measured"].get_ydata(), [0.9, 0.9, 1.0])
    assert [axes.get_title() for axes in anatomy_through_training(analyses, [1, 2, 3], ["output"]).axes] == ["output"]


def test_bad_series_are_refused_in_one_line() -> None:
    one = analysis(output=entry(1.0, 0.0, 0.0, 0.0))
    with pytest.raises(InvalidInputError, match="got 1 analyses and 2 times"):
        anatomy_through_training([one], [1, 2])
    with pytest.raises(InvalidInputError, match='unknown quantity "outptu"; did you mean "output"'):
        anatomy_through_training([one], [1], ["outptu"])

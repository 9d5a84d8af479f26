"""The picture on the first page shows what its caption says: held against the numbers that it was made from."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
PAGES = {"README.md": "docs/images", "docs/index.md": "images"}


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    """What was found in the run of the picture."""
    return json.loads((IMAGES / "demo.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    """Points of each series, in decimal logarithms."""
    table = pd.read_csv(IMAGES / "demo.csv")
    return {str(name): part.to_numpy()[:, 1:].astype(float) for name, part in table.groupby("series")}


@pytest.mark.parametrize("page", PAGES)
def test_pages_show_the_picture_with_the_sentence_of_its_run(page: str, record: dict[str, Any]) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert f"]({PAGES[page]}/demo.png)" in text
    assert record["quantity"]["statement"] in text
    for named in ("two-neuron", "tanh", "squared error"):
        assert named in text


def test_the_picture_is_of_the_run_that_newcomers_start(record: dict[str, Any]) -> None:
    command = re.search(r"^demo:.*\n\t\$\(BIN\)/critlearn run (\S+) (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert command is not None
    study, options = command.groups()
    assert study == record["study"]
    assert {k: record["config"][k] for k in ("activation", "loss")} == dict(re.findall(r"--(\S+) (\S+)", options))


def test_a_power_law_is_established_at_equilibrium_as_predicted(record: dict[str, Any]) -> None:
    measured, predicted = record["quantity"]["measured"], record["quantity"]["predicted"]
    assert record["equilibrium"]["certified"]
    assert measured["verdict"] == "power law"
    assert record["quantity"]["agreement"] == "agrees"
    low, high = measured["log_window"]
    decades = (high - low) / np.log(10)
    assert f"over {decades:.1f} decades" in record["quantity"]["statement"]
    assert abs(predicted["exponent_on_measured_window"] - measured["exponent"]) < 0.05
    assert predicted["exact"] == "1"


def test_window_fit_and_prediction_are_drawn_and_lie_on_the_measured_points(
    record: dict[str, Any], drawn: dict[str, np.ndarray]
) -> None:
    measured = record["quantity"]["measured"]
    ends = np.array(measured["log_window"]) / np.log(10)
    assert drawn["window of the fit"][:, 0] == pytest.approx(ends)
    (law,) = (points for name, points in drawn.items() if name.startswith("fit "))
    assert law[:, 0] == pytest.approx(ends)
    # Slope of the measured points themselves, by least squares: bins of a twentieth of a decade.
    x, y = drawn["measured"].T
    inside = (x > ends[0]) & (x < ends[1])
    assert inside.sum() > 50
    slope, _ = np.polyfit(x[inside], y[inside], 1)
    assert -slope == pytest.approx(measured["exponent"], abs=0.01)
    for points in (law, drawn["predicted"][np.argsort(drawn["predicted"][:, 0])]):
        assert np.abs(np.interp(x[inside], *points.T) - y[inside]).max() < 0.03


def test_the_network_of_the_picture_is_at_equilibrium_and_has_predicted_laws() -> None:
    kept = json.loads((IMAGES / "flights.json").read_text(encoding="utf-8"))
    assert "](docs/images/flights.png)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert kept["equilibrium"]["certified"]
    assert kept["data"].startswith("flights from New York")
    rows = {row["quantity"]: row for row in kept["table"]}
    laws = [row for row in rows.values() if row["verdict"] in ("power law", "compatible", "power law with cut-off")]
    predicted = [row for row in laws if row["predicted_exponent"] is not None]
    assert len(predicted) >= 4
    # 60,000 samples and 32 units.
    assert rows["hidden1.bias"]["n"] == 60_000 * 32
    assert all(row["ci_low"] <= row["exponent"] <= row["ci_high"] for row in laws)

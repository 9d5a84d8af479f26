"""Short forms of the validation of the ladder, and what its networks and truths are made of."""

import json

import numpy as np
import pytest
import torch

from critlearn.inference import fit_power_law
from critlearn.numerics.window import Window
from reference.validation_scripts import script


@pytest.mark.parametrize("exponent", [-0.5, 1.0, 1.8])
def test_exponents_of_draws_are_theirs(exponent: float) -> None:
    window = Window.from_logs(-6.0, -1.0)
    # Inverse distribution function of p(u) ~ exp((1 - k) u), wider than the window.
    theta, share = 1 - exponent, np.random.default_rng(0).random(400_000)
    low, high = -7.0, 0.0
    logs = low + share * (high - low)
    if theta:
        logs = np.log(np.exp(theta * low) + share * (np.exp(theta * high) - np.exp(theta * low))) / theta
    assert script("ladder_calibration").exponent_of(logs, window) == pytest.approx(exponent, abs=0.01)


def test_anatomies_are_those_of_a_large_draw_of_margins_and_path_factors() -> None:
    module = script("ladder_calibration")
    steps = module.ladder(20_000, 3)
    sketch = steps.measured["q"]
    window = Window.from_logs(sketch.quantile(0.02), sketch.quantile(0.5))
    anatomy = steps.anatomy("q", fit_power_law(sketch, window=window))
    for name, truth in module.truths(window, samples=2_000_000).items():
        part = getattr(anatomy, name)
        # A hundredth is what a bin, by which a shift is rounded, moves an exponent.
        assert part.value == pytest.approx(truth, abs=4 * part.standard_error + 0.01)


def test_a_wrong_level_is_rejected_in_the_table_and_a_right_one_is_not() -> None:
    module = script("ladder_calibration")
    cases = [("right", 2000, {}, (1,)), ("wrong", 20_000, {"dependence": 0.3}, (2,))]
    right, wrong = module.table(cases, 8, "data").splitlines()[2:]
    assert wrong.split("|")[4].strip() == "100.0%"
    # Of eight at 5%, four or more are rejected in 4 of 10,000 cases.
    assert float(right.split("|")[4].strip().rstrip("%")) < 50


def test_later_characters_do_not_reach_earlier_ones() -> None:
    module = script("ladder")
    for make in (module.Decoder, module.Recurrent):
        system = module.text_system(make, 3)
        x, t = next(system.boundary(3))
        assert torch.equal(x[:, 1:], t[:, :-1])
        other = x.clone()
        other[:, 10:] = (other[:, 10:] + 1) % 7
        changed = (system.model(x) - system.model(other)).abs().amax(dim=(0, 2))
        assert changed[:10].max() == 0
        assert changed[10] > 0


def test_a_page_has_rows_for_every_variable_and_counts_them(tmp_path, monkeypatch) -> None:
    module = script("ladder")
    short = {"epochs": 3, "batch_size": 100}
    case = module.Case(lambda: module.classes("breast-cancer", module.Composition("tanh", "mse"), (4,), **short))
    monkeypatch.setattr(module, "cases", lambda: {"flights, tanh+mse, 8-16-1": case})
    monkeypatch.setattr("sys.argv", ["ladder.py", "--store", str(tmp_path), "--out", str(tmp_path / "page.md")])
    module.main()
    found = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert [row["quantity"] for row in found["rows"][::2]] == [
        "hidden1.weight", "hidden1.bias", "output.weight", "output.bias"
    ]  # fmt: skip
    for row in found["rows"]:
        assert sorted(row["levels"]) == ["0", "1", "2", "3"]
        # An output bias has one path factor: what its margins say of it cannot fail.
        assert (row["levels"]["2"]["agreement"] is None) == (row["quantity"] == "output.bias")
    page = (tmp_path / "page.md").read_text()
    totals = [line for line in page.splitlines() if line.startswith("| **all**")]
    assert [int(line.split("|")[3]) for line in totals] == [4, 4]
    for line in totals:
        assert sum(int(cell) for cell in line.split("|")[6:11]) == 4
    # The second time nothing is trained.
    monkeypatch.setattr(module, "rows_of", None)
    module.main()
    assert (tmp_path / "page.md").read_text() == page

"""Analyses of trained networks in one call: what their tables hold, and what is refused."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import TensorDataset

import critlearn
from critlearn.analysis import COLUMNS, Analysis
from critlearn.errors import InvalidInputError
from shape_checker import switched_off


def test_a_run_and_the_analysis_of_its_network_give_the_same_numbers(two_class: Analysis) -> None:
    assert two_class.system is not None
    losses = two_class.record["equilibrium"]["losses"]
    again = critlearn.analyze(two_class.system, losses=losses, progress=False)
    assert again.record["quantities"] == two_class.record["quantities"]
    kept = ("status", "fraction", "frozen", "samples", "drift", "scatter")
    assert all(again.record["equilibrium"][name] == two_class.record["equilibrium"][name] for name in kept)
    assert again.record["accuracy"] == two_class.record["accuracy"]


def test_the_table_has_the_numbers_of_a_fit_of_the_sizes_themselves(two_class: Analysis) -> None:
    # The bias of the output changes by the output error, which a formula of the margin gives.
    system = two_class.system
    assert system is not None
    x, t = next(system.boundary(len(system)))
    with torch.no_grad():
        y, target = system.forward(x, t)
    sizes = (1 / (1 + np.exp((y * target).flatten().numpy()))).astype(np.float64)
    row = two_class.table.set_index("quantity").loc["output.bias"]
    inside = (sizes >= row.window_low) & (sizes <= row.window_high)
    assert row.share == pytest.approx(inside.mean(), abs=0.02)
    assert row.decades == pytest.approx(math.log10(row.window_high / row.window_low), rel=1e-6)
    # The maximum of the likelihood of a power law between the ends of the window.
    logs = np.log(sizes[inside] / row.window_low)
    span = math.log(row.window_high / row.window_low)
    grid = np.linspace(-1, 4, 5001)
    rate = 1 - grid
    normalisation = np.where(np.abs(rate) < 1e-9, span, np.expm1(rate * span) / np.where(rate == 0, 1, rate))
    best = grid[np.argmax(-grid * logs.sum() - len(logs) * np.log(normalisation))]
    assert row.exponent == pytest.approx(best, abs=0.03)


def test_every_kind_of_row_is_there(two_class: Analysis) -> None:
    table = two_class.table
    assert tuple(table.columns) == COLUMNS
    assert table.quantity.tolist() == [
        "output.bias", "output.weight", "hidden1.bias", "hidden1.weight", "output", "hidden1", "all.bias",
        "all.weight", "all",
    ]  # fmt: skip
    assert table.layer.tolist()[:4] == ["output", "output", "hidden1", "hidden1"]
    assert table.kind.tolist() == ["bias", "weight", "bias", "weight", "all", "all", "bias", "weight", "all"]
    pooled = table.set_index("quantity").n
    assert pooled["all.bias"] == pooled["output.bias"] + pooled["hidden1.bias"]
    assert pooled["all"] == pooled["all.bias"] + pooled["all.weight"]
    # Everything is predicted, and compared.
    assert table.not_predicted.isna().all()
    assert set(table.agreement) <= {"agrees", "disagrees", "cannot tell"}
    parts = table[["composition", "data", "path", "dependence"]].sum(axis=1)
    # The contributions add up to the exponent, to what joining bins changes; of a law with cut-off, below that.
    records = two_class.record["quantities"].values()
    sharp = np.array([record["measured"]["cutoff"] is None for record in records])
    assert sharp.sum() > 4
    np.testing.assert_allclose(parts[sharp], table.exponent[sharp], atol=0.03)


def test_latex_is_a_table_of_a_paper(two_class: Analysis) -> None:
    text = two_class.table.to_latex()
    assert text.count("\\\\") == len(two_class.table) + 1
    assert "\\toprule" in text
    assert "output.weight & 12\\,000 &" in text
    assert "nan" not in text


def test_a_network_of_places_is_predicted_in_every_layer() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4)).double()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(600, 1, 6, generator=generator, dtype=torch.float64)
    data = TensorDataset(x, torch.randint(4, (600,), generator=generator))
    analysis = critlearn.analyze(model, nn.CrossEntropyLoss(), data, progress=False)
    rows = analysis.table.set_index("quantity")
    assert rows.not_predicted.isna().all()
    assert (rows.prediction_distance < 0.1).all()
    # Chance among four classes, and what fits by chance.
    assert 0.1 < analysis.record["accuracy"] < 0.6
    text = repr(analysis)
    assert text.startswith(analysis.record["equilibrium"]["status"])
    assert all(name in text for name in ("0.weight", "3.bias", "all"))
    assert "<table" in analysis._repr_html_()


def test_a_part_of_a_network_is_analysed(two_class: Analysis) -> None:
    assert two_class.system is not None
    quantities = critlearn.Quantities(only=("hidden1.*",))
    analysis = critlearn.analyze(two_class.system, quantities=quantities, progress=False)
    assert analysis.table.quantity.tolist() == ["hidden1.bias", "hidden1.weight"]
    with pytest.raises(InvalidInputError, match=r'no trainable variable "nope\.\*"|"nope'):
        critlearn.analyze(two_class.system, quantities=critlearn.Quantities(only=("nope.*",)), progress=False)


def test_stages_are_told_in_their_order(two_class: Analysis) -> None:
    assert two_class.system is not None
    told: list[str] = []
    critlearn.analyze(two_class.system, progress=lambda stage, done, total: told.append(stage))
    assert list(dict.fromkeys(told)) == ["certificate", "fluctuations", "predictions", "fits", "modes"]


def test_what_is_finished_survives_an_interruption(two_class: Analysis) -> None:
    assert two_class.system is not None

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "fits" and done == 2:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="7 quantities are not fitted"):
        part = critlearn.analyze(two_class.system, progress=stop)
    assert part.table.quantity.tolist() == ["output.bias", "output.weight"]
    assert part.record["unfinished"][0] == "hidden1.bias"
    whole = two_class.record["quantities"]["output.bias"]["measured"]
    assert part.record["quantities"]["output.bias"]["measured"] == whole


def test_an_interruption_of_the_modes_keeps_all_fits(two_class: Analysis) -> None:
    assert two_class.system is not None

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "modes":
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="it has no modes"):
        part = critlearn.analyze(two_class.system, progress=stop)
    assert part.record["quantities"].keys() == two_class.record["quantities"].keys()
    assert (part.modes, part.record["unfinished"]) == (None, ["modes"])


def test_an_analysis_has_the_modes_of_its_system(two_class: Analysis) -> None:
    assert two_class.system is not None
    assert two_class.modes is not None
    assert two_class.modes.to_dict() == critlearn.modes(two_class.system).to_dict()
    assert f"modes of learning: {two_class.modes.headline()}" in two_class.summary()
    quantities = critlearn.Quantities(only=("output.bias",))
    without = critlearn.analyze(two_class.system, quantities=quantities, modes=False, progress=False)
    assert (without.modes, without.record["no_modes"]) == (None, "they were not asked for")
    assert "modes of learning" not in without.summary()
    with switched_off(), pytest.raises(InvalidInputError, match="modes= takes True, False or None; got 'yes'"):
        critlearn.analyze(two_class.system, modes="yes")  # type: ignore[arg-type]


def test_what_is_missing_or_given_twice_is_told(two_class: Analysis) -> None:
    with pytest.raises(InvalidInputError, match="got no loss"):
        critlearn.analyze(nn.Linear(1, 1))
    with pytest.raises(InvalidInputError, match="got no data"):
        critlearn.analyze(nn.Linear(1, 1), nn.MSELoss())
    with pytest.raises(InvalidInputError, match="has its loss and data"):
        critlearn.analyze(two_class.system, nn.MSELoss())  # type: ignore[arg-type]


def test_tied_weights_are_kept_under_both_names(tmp_path: "pytest.TempPathFactory") -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 3, bias=False)
            self.second = nn.Linear(3, 3, bias=False)
            self.second.weight = self.first.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(torch.tanh(self.first(x)))

    generator = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(400, 3, generator=generator), torch.randint(3, (400,), generator=generator))
    torch.manual_seed(0)
    model = Tied()
    critlearn.save(critlearn.analyze(model, nn.CrossEntropyLoss(), data, progress=False), tmp_path / "run")  # type: ignore[operator]
    stored = load_file(tmp_path / "run" / "model.safetensors")  # type: ignore[operator]
    assert all(torch.equal(stored[name], model.first.weight) for name in ("first.weight", "second.weight"))


def test_the_anatomy_is_drawn_for_every_variable_that_has_one(two_class: Analysis, without_shape_checker: None) -> None:
    shown = {text.get_text() for text in two_class.plot("anatomy").axes[0].texts}
    table = two_class.table[~two_class.table.layer.eq("all") & two_class.table.kind.ne("all")]
    assert set(table.quantity[table.data.notna()]) <= shown
    assert "all" not in shown
    with pytest.raises(InvalidInputError, match='unknown figure "density"; did you mean "densities"'):
        two_class.plot("density")  # type: ignore[arg-type]


def test_figures_for_papers_are_written_with_their_numbers(two_class: Analysis, tmp_path: Path) -> None:
    with switched_off():
        written = two_class.save_plot(tmp_path / "densities.pdf", columns=2)
        assert written == tmp_path / "densities.pdf"
        assert written.read_bytes().startswith(b"%PDF")
        numbers = pd.read_csv(tmp_path / "densities.csv")
        assert {"measured", "predicted", "fit"} <= set(numbers.series)
        assert two_class.plot(style="paper", columns=2).get_figwidth() == 6.75
        with pytest.raises(InvalidInputError, match="columns=1 or columns=2; got 0"):
            two_class.plot(style="paper", columns=0)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match='unknown style "print"'):
            two_class.plot(style="print")  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match='figures are written as svg, pdf, png; got "jpg"'):
            two_class.save_plot(tmp_path / "densities.jpg")

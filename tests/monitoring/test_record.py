"""Records on disk are whole or not there, and what is read is what was written."""

import itertools
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn

import critlearn as cl
from critlearn.errors import DataError, InvalidInputError, OutputError
from critlearn.inference import Grade
from critlearn.monitoring import MonitorRecord, updates
from critlearn.monitoring.storage import load_record, save_record
from critlearn.monitoring.updates import SeriesRecorder, UpdateSeries, update_distribution
from reference.networks import classes


@pytest.fixture(scope="module")
def record() -> MonitorRecord:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    data = classes((500, 3))
    system = cl.NeuralSystem(model, cl.Composition("sigmoid", "bce"), data)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with cl.Monitor(system, optimizer, every=2, quantities="all", samples=300) as monitor:
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.softplus(-data.t * model(data.x)[:, 0]).mean().backward()
            optimizer.step()
            monitor.step()
    return monitor.record


def test_a_record_comes_back_as_it_was(record: MonitorRecord, tmp_path: Path) -> None:
    path = tmp_path / "monitor.safetensors"
    save_record(path, record)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    loaded = load_record(path)
    assert loaded.to_dict() == record.to_dict()
    for mine, theirs in zip(record.states, loaded.states, strict=True):
        assert all(part.sketch == theirs.distributions[name].sketch for name, part in mine.distributions.items())
    assert loaded.series.values.keys() == record.series.values.keys()
    for name, values in record.series.values.items():
        np.testing.assert_array_equal(loaded.series.values[name], values)
    assert loaded.summary() == record.summary()


def test_the_table_has_a_row_for_each_state_and_distribution(record: MonitorRecord) -> None:
    table = record.to_dataframe()
    assert list(zip(table["step"], table["distribution"], table["axis"], strict=True)) == [
        (0, "all", "samples x variables"),
        (0, "updates", "variables"),
        (2, "all", "samples x variables"),
        (2, "updates", "variables"),
        (3, "all", "samples x variables"),
    ]
    assert (table.loc[table["distribution"] == "all", "count"] == 300 * 26).all()
    assert (table.loc[table["distribution"] == "updates", "count"] == 26).all()
    assert set(table["verdict"]) <= set(Grade)
    assert set(table.loc[table["distribution"] == "updates", "verdict"]) == {Grade.TOO_FEW}


def test_a_folder_that_is_missing_leaves_no_file(record: MonitorRecord, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        save_record(tmp_path / "missing" / "monitor.safetensors", record)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "other", "header"])
def test_what_is_no_record_is_refused_in_one_line(record: MonitorRecord, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "monitor.safetensors"
    if damage == "text":
        path.write_text("nothing")
    elif damage == "cut":
        save_record(path, record)
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "other":
        save_file({"weight": np.ones(3)}, path)
    elif damage == "header":
        save_file({"series/steps": np.ones(3)}, path, metadata={"critlearn.monitor": '{"format": 2}'})
    with pytest.raises(DataError) as caught:
        load_record(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"samples": 0}, "samples: should be greater than 0"),
        ({"training_seconds": "x"}, "training_seconds: should be a valid number"),
        ({"states": 3}, "states: should be a list"),
        ({"states": [{"step": None}]}, "states.0.step"),
        ({"cadence": None}, "cadence: should be text"),
        ({"increments": [{"layer": "0"}]}, "increments.0.first_step: is missing"),
        ({"series/steps": np.array([3, 3, 1])}, "a value of each entry"),
        ({"series/steps": np.arange(2.0)}, "a value of each entry"),
        ({"state/0/all/zeros": np.full(16, 2**62)}, "a sketch has bins, and counts, up to"),
    ],
)
def test_what_a_record_holds_is_checked_when_it_is_read(
    part: dict[str, Any], told: str, record: MonitorRecord, tmp_path: Path, without_shape_checker: None
) -> None:
    path = tmp_path / "monitor.safetensors"
    save_record(path, record)
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["critlearn.monitor"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    for name, value in part.items():
        (arrays if isinstance(value, np.ndarray) else header)[name] = value
    save_file(arrays, path, metadata={"critlearn.monitor": json.dumps(header)})
    with pytest.raises(DataError, match=re.escape(told)):
        load_record(path)


def test_updates_below_the_spacing_of_stored_numbers_are_kept_out_of_fits() -> None:
    before = {"weight": torch.full((100, 10), 2.0), "bias": torch.zeros(5)}
    after = {name: value + 1e-8 for name, value in before.items()}
    found = update_distribution(before, after)
    # 2 + 1e-8 is 2 in single precision; at zero the same update is there.
    assert found.sketch.zeros == 1000
    assert found.sketch.count == 1005
    assert found.log_floor == pytest.approx(math.log(8 * 2 * 2.0**-23))
    assert found.fit is None or found.fit.exponent is None


def test_updates_that_are_all_zero_have_no_fit() -> None:
    before = {"weight": torch.ones(4, 3)}
    found = update_distribution(before, before)
    assert found.fit is None
    assert found.to_dict() == {"axis": "variables", "count": 12, "zeros": 12}
    assert "exactly zero" in found.summary()


class _Walk(torch.optim.Optimizer):
    """Optimiser that moves every variable by noise whose law is known, and nothing else."""

    def __init__(self, model: nn.Module, seed: int) -> None:
        super().__init__(model.parameters(), {"lr": 1.0})
        self._generator = np.random.default_rng(seed)

    def step(self) -> None:  # type: ignore[override]
        with torch.no_grad():
            for number, value in enumerate(self.param_groups[0]["params"]):
                # Symmetric Pareto laws: density exponents 3.5 of the first layer, 2.5 of the second.
                tail = 2.5 if number < 2 else 1.5
                size = 1e-3 * (1 + self._generator.pareto(tail, tuple(value.shape)))
                value += torch.from_numpy(size * self._generator.choice([-1, 1], tuple(value.shape)))


@pytest.fixture(scope="module")
def walk() -> MonitorRecord:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    system = cl.NeuralSystem(model, cl.Composition("sigmoid", "bce"), classes((100, 3)))
    optimizer = _Walk(model, 2)
    with cl.Monitor(system, optimizer, every=10**6, samples=10, series=60) as monitor:
        for _ in range(3000):
            optimizer.step()
            monitor.step()
    return monitor.record


def test_increments_are_counted_by_layer_and_period_with_the_exponents_they_have(walk: MonitorRecord) -> None:
    table = walk.increments_table()
    assert set(table["layer"]) == {"0", "2"}
    last = table[table["last_step"] == table["last_step"].max()].set_index("layer")
    for layer, exponent in (("0", 3.5), ("2", 2.5)):
        assert last.loc[layer, "ci_low"] <= exponent <= last.loc[layer, "ci_high"]
        # The statistical part is inside.
        assert last.loc[layer, "ci_low"] <= last.loc[layer, "sampled_low"] < last.loc[layer, "exponent"]
        assert last.loc[layer, "exponent"] < last.loc[layer, "sampled_high"] <= last.loc[layer, "ci_high"]
        # Every step is there once, but for the one between two blocks.
        counted = table.loc[table["layer"] == layer, "count"].sum()
        number = sum(len(index) for name, index in walk.series.entries.items() if name.startswith(layer))
        assert 0.99 * 3000 * number < counted <= 3000 * number
    assert len(walk.plot_increments().axes) == 1


def test_the_dynamics_of_a_record_are_those_of_its_series(walk: MonitorRecord, tmp_path: Path) -> None:
    sheet = walk.dynamics()
    assert sheet.variables == 60
    assert sheet.steps == 3001
    assert "60 variables over all 3,000 steps of a training" in sheet.summary()
    # Independent steps: nothing remembers anything.
    assert sheet.observed.branching.ratio is None
    assert sheet.observed.autocorrelation.time == pytest.approx(1, abs=0.2)
    save_record(tmp_path / "walk.safetensors", walk)
    again = load_record(tmp_path / "walk.safetensors")
    assert [part.sketch for part in again.increments] == [part.sketch for part in walk.increments]
    assert [part.summary() for part in again.increments[:1]] == [part.summary() for part in walk.increments[:1]]


def test_the_sheet_of_a_part_of_a_training_says_which(walk: MonitorRecord) -> None:
    series = walk.series
    part = UpdateSeries(
        series.entries, {name: rows[1025:1281] for name, rows in series.values.items()}, series.steps[1025:1281]
    )
    said = replace(walk, series=part).dynamics().summary()
    assert said.startswith("60 variables over 256 of the 3,000 steps of a training (1,025 to 1,280): ")


def test_a_short_record_has_no_dynamics(record: MonitorRecord) -> None:
    with pytest.raises(InvalidInputError, match="at least 100 time steps"):
        record.dynamics()


def test_the_longest_stretch_of_a_series_is_the_last_of_equal_ones() -> None:
    values = np.arange(8.0)[:, None]
    series = UpdateSeries({"a": np.array([0])}, {"a": values}, np.array([0, 1, 2, 10, 11, 12, 20, 21]))
    steps, found = series.longest_stretch()
    assert steps.tolist() == [10, 11, 12]
    assert found[:, 0].tolist() == [3, 4, 5]


def test_a_series_that_has_to_pause_goes_on_by_stretches_that_double(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    # Each step that is recorded takes one unit of time.
    monkeypatch.setattr(updates.time, "perf_counter", lambda: float(next(clock)))
    variable = torch.zeros(3)
    recorder = SeriesRecorder({"a": variable}, {"a": np.array([0, 2])})
    recorder.take(0)
    steps = 200_000
    for step in range(1, steps):
        if recorder.due(lambda seconds, step=step: seconds <= 0.1 * step):
            variable += 1
            recorder.take(step)
    series = recorder.series()
    taken, _ = series.longest_stretch()
    assert series.step_count <= 0.1 * steps
    assert series.step_count >= 0.05 * steps
    assert len(taken) >= 0.25 * series.step_count
    stretches = np.diff(np.append(0, np.append(np.flatnonzero(np.diff(series.steps) != 1) + 1, series.step_count)))
    assert stretches[0] == 256
    # The time that a stretch takes pays for some more of it; the training ends in the middle of the last one.
    assert (stretches[1:-1] >= 1.5 * stretches[:-2]).all()
    # One that costs nothing never pauses.
    recorder = SeriesRecorder({"a": variable}, {"a": np.array([0, 2])})
    for step in range(2000):
        assert step == 0 or recorder.due(lambda _: True)
        recorder.take(step)
    assert recorder.series().step_count == 2000

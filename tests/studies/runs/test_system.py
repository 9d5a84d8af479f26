"""The system of a stored run is rebuilt as it was."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from critlearn.errors import DataError, InvalidInputError
from critlearn.studies import TwoClassConfig, run_two_class, write_run
from critlearn.studies.runs.system import load_system
from reference.small_runs import TWO_CLASS

# Whole runs, of whose parts the calls are checked in other tests.
pytestmark = pytest.mark.usefixtures("without_shape_checker")


def test_a_stored_run_starts_from_the_weights_that_it_was_given(tmp_path: Path) -> None:
    settings = {**TWO_CLASS, "hidden": (30, 30), "epochs": 1, "lr": 1e-9, "weight_variance": 9.0}
    record = write_run(tmp_path, run_two_class(TwoClassConfig(**settings)), lambda *_: "")
    system = load_system(Path(record["run_dir"]), record)
    # After steps of 1e-9 the trained weights are the initial ones.
    for name, value in system.trained.parameters.items():
        torch.testing.assert_close(system.initial.parameters[name], value, rtol=0.0, atol=1e-6)
    weights = system.initial.parameters["hidden2.weight"]
    # 900 of them have variance 9 / 30, with a relative standard error of sqrt(2 / 900).
    assert float(weights.detach().var()) == pytest.approx(9 / 30, rel=4 * math.sqrt(2 / 900))


def test_softmax_has_two_outputs_with_errors_of_the_margin(tmp_path: Path) -> None:
    settings = {**TWO_CLASS, "activation": "softmax", "loss": "cross-entropy"}
    result = run_two_class(TwoClassConfig(**settings))  # type: ignore[arg-type]
    record = write_run(tmp_path, result, lambda *_: "")
    assert record["composition"]["name"] == "softmax+cross-entropy"
    assert record["composition"]["kappa"]["exact"] == "1"
    assert record["quantities"]["output.bias"]["predicted"]["source"].startswith("softmax+cross-entropy with ")
    system = load_system(Path(record["run_dir"]), record).trained
    with torch.no_grad():
        y = system.model(torch.stack([x for x, _ in system.dataset])).numpy()  # type: ignore[attr-defined]
    t = np.array([int(target) for _, target in system.dataset])  # type: ignore[attr-defined]
    margins = y[np.arange(len(t)), t] - y[np.arange(len(t)), 1 - t]
    assert record["accuracy"] == pytest.approx((margins > 0).mean())
    assert record["margins"]["least"] == pytest.approx(margins.min())
    # Sigmoid of minus the margin, with both signs: the output biases of each sample.
    sketch = result.fluctuations["output.bias"]
    np.testing.assert_array_equal(sketch.counts_positive, sketch.counts_negative)
    assert sketch.count == 2 * len(t)
    for probability in (0.1, 0.5, 0.9):
        expected = np.quantile(-np.logaddexp(0, margins), probability)
        assert sketch.quantile(probability) == pytest.approx(expected, abs=0.05)


def test_code_that_a_record_names_is_run_only_if_trusted(tmp_path: Path) -> None:
    record = write_run(tmp_path, run_two_class(TwoClassConfig(**{**TWO_CLASS, "epochs": 1})), lambda *_: "")
    mark = tmp_path / "it-ran"
    (tmp_path / "hostile.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    for setting in ("data", "activation", "loss"):
        hostile = {**record, "config": {**record["config"], setting: f"{tmp_path}/hostile.py:name"}}
        with pytest.raises(DataError, match="run only with --trust"):
            load_system(Path(record["run_dir"]), hostile)
        assert not mark.exists()
    with pytest.raises(InvalidInputError, match='has no "name"'):
        load_system(Path(record["run_dir"]), hostile, trust=True)
    assert mark.exists()


def test_data_of_the_network_that_a_record_names_are_fetched_only_if_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {**TWO_CLASS, "data": "openml:iris"}
    asked = []

    def fetched(name: str, **_: object) -> None:
        asked.append(name)
        raise OSError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetched)
    with pytest.raises(DataError, match='data from the network, "openml:iris", which is fetched only with --trust'):
        load_system(tmp_path, {"study": "two-class", "config": config})
    assert asked == []
    with pytest.raises(DataError, match="no network"):
        load_system(tmp_path, {"study": "two-class", "config": config}, trust=True)
    assert asked == ["iris"]


def test_a_record_of_a_larger_network_than_its_weights_builds_none(tmp_path: Path) -> None:
    record = write_run(tmp_path, run_two_class(TwoClassConfig(**{**TWO_CLASS, "epochs": 1})), lambda *_: "")
    record["config"]["hidden"] = [10**6, 10**6]
    with pytest.raises(DataError, match="holds fewer weights"):
        load_system(Path(record["run_dir"]), record)


def test_a_typed_activation_is_read_back(tmp_path: Path) -> None:
    settings = {**TWO_CLASS, "activation": "y/(1+abs(y))", "loss": "mse", "epochs": 2}
    record = write_run(tmp_path, run_two_class(TwoClassConfig(**settings)), lambda *_: "")  # type: ignore[arg-type]
    assert record["composition"]["kappa"]["exact"] == "4/3"
    system = load_system(Path(record["run_dir"]), record).trained
    assert system.loss.name == "y/(1+abs(y))+mse"

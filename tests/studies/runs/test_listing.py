"""Small runs: their record has every promised number and no NaN; their folder is written whole or not at all."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from critlearn.errors import DataError, InvalidInputError, OutputError
from critlearn.results import plain
from critlearn.studies import RunResult, ToyConfig, TwoClassConfig, read_run, run_toy, run_two_class, write_run
from critlearn.studies.runs.system import load_system
from critlearn.whole_files import check_writable

TWO_CLASS = {"data": "moons", "epochs": 25, "hidden": (6,), "batch_size": 256, "lr": 0.02, "weight_decay": 0.0}
TOY = {"samples": 20_000, "epochs": 40, "lr": 0.05, "batch_size": 2000}


@pytest.fixture(scope="module", autouse=True)
def as_in_production() -> Iterator[None]:
    """A run is many calls: the checker of shapes is for the tests of the parts."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def two_class(as_in_production: None) -> RunResult:
    return run_two_class(TwoClassConfig(**TWO_CLASS))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def toy(as_in_production: None) -> RunResult:
    return run_toy(ToyConfig(activation="softsign", loss="mse", **TOY))  # type: ignore[arg-type]


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


def test_names_and_counts_of_the_quantities(two_class: RunResult, toy: RunResult) -> None:
    assert set(toy.record["quantities"]) == {"bias", "weight"}
    sizes = {
        "output.bias": 1, "output.weight": 6, "hidden1.bias": 6, "hidden1.weight": 12, "all": 25,
    }  # fmt: skip
    assert set(two_class.record["quantities"]) == set(sizes)
    for name, size in sizes.items():
        assert two_class.record["quantities"][name]["count"] == 2000 * size
    assert two_class.record["quantities"]["output.bias"]["axis"] == "samples"


def test_the_accuracy_is_that_of_the_stored_weights(toy: RunResult) -> None:
    # The classes overlap in [-0.3, 0.3] of [-0.3, 2.3]: a threshold at 0 is wrong for 0.3 / 2.6 of the samples.
    error = 0.3 / 2.6
    assert toy.record["accuracy"] == pytest.approx(1 - error, abs=5 * math.sqrt(error / 20_000))
    assert float(toy.weights["weight"]) == toy.record["weight"]
    assert float(toy.weights["bias"]) == toy.record["bias"]


def test_the_zeros_and_logarithms_of_the_toy_model_are_those_of_its_formula(toy: RunResult) -> None:
    from critlearn.prediction import parse_density
    from critlearn.studies.toy import drawn_classes

    data = drawn_classes(parse_density("uniform(-0.3,2.3)"), 20_000, 0)
    y = toy.record["weight"] * data.x[:, 0].numpy() + toy.record["bias"]
    t = data.t.numpy()
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
    along = (data.x[:, 0] * data.t).numpy()
    assert along.min() >= -0.3
    assert along.max() <= 2.3
    assert along.mean() == pytest.approx(1.0, abs=5 * 2.6 / math.sqrt(12 * 50_000))
    assert float(data.t.mean()) == pytest.approx(0.0, abs=5 / math.sqrt(50_000))


def test_a_seed_repeats_bit_for_bit(two_class: RunResult) -> None:
    again = run_two_class(TwoClassConfig(**TWO_CLASS))  # type: ignore[arg-type]
    assert all(torch.equal(again.weights[name], value) for name, value in two_class.weights.items())
    assert all(again.fluctuations[name] == two_class.fluctuations[name] for name in two_class.fluctuations)
    first, second = ({**result.record, "seconds": 0} for result in (two_class, again))
    assert first == second


def test_a_stored_run_starts_from_the_weights_that_it_was_given(tmp_path: Path) -> None:
    settings = {**TWO_CLASS, "hidden": (60, 60), "epochs": 1, "lr": 1e-9, "weight_variance": 9.0}
    record = write_run(tmp_path, run_two_class(TwoClassConfig(**settings)), page)  # type: ignore[arg-type]
    system = load_system(Path(record["run_dir"]), record)
    # After steps of 1e-9 the trained weights are the initial ones.
    for name, value in system.trained.parameters.items():
        torch.testing.assert_close(system.initial.parameters[name], value, rtol=0.0, atol=1e-6)
    weights = system.initial.parameters["hidden2.weight"]
    # 3600 of them have variance 9 / 60, with a relative standard error of sqrt(2 / 3600).
    assert float(weights.detach().var()) == pytest.approx(9 / 60, rel=4 * math.sqrt(2 / 3600))


def test_the_toy_model_refuses_data_with_more_features() -> None:
    with pytest.raises(InvalidInputError, match=r'"moons" has 2 features: use `run two-class`'):
        run_toy(ToyConfig(data="moons", **TOY))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_do_not_exist_are_none(value: float) -> None:
    assert plain({"a": (1, value, [value]), "b": {"c": value}}) == {"a": [1, None, [None]], "b": {"c": None}}


# The store


def page(record: dict[str, Any], fluctuations: object) -> str:
    return f"<html>{record['study']}</html>"


def test_a_run_comes_back_from_its_folder(tmp_path: Path, two_class: RunResult) -> None:
    record = write_run(tmp_path / "runs", two_class, page)
    folder = Path(record["run_dir"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "fluctuations.npz", "model.safetensors", "report.html", "run.json",
    ]  # fmt: skip
    back, fluctuations = read_run(folder)
    assert back == record
    assert all(fluctuations[name] == two_class.fluctuations[name] for name in two_class.fluctuations)
    weights = load_file(folder / "model.safetensors")
    assert all(torch.equal(weights[name], value) for name, value in two_class.weights.items())
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [folder.name]


def test_two_runs_at_the_same_time_do_not_share_a_folder(tmp_path: Path, two_class: RunResult) -> None:
    folders = {write_run(tmp_path, two_class, page)["run_dir"] for _ in range(3)}
    assert len(folders) == 3


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("defect")]
)
def test_a_run_that_cannot_be_finished_leaves_nothing(
    tmp_path: Path, two_class: RunResult, failure: BaseException
) -> None:
    def failing(record: dict[str, Any], fluctuations: object) -> str:
        raise failure

    expected = OutputError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected) as caught:
        write_run(tmp_path, two_class, failing)
    if isinstance(failure, OSError):
        assert "No space left on device" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_record_with_nan_is_not_written(tmp_path: Path, two_class: RunResult) -> None:
    spoilt = RunResult({**two_class.record, "accuracy": math.nan}, two_class.fluctuations, two_class.weights)
    with pytest.raises(ValueError, match="JSON"):
        write_run(tmp_path, spoilt, page)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write to the folder"):
        check_writable(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot write to the folder"):
        check_writable(tmp_path / "file" / "runs")
    check_writable(tmp_path / "new" / "runs")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_without_a_run_is_refused(tmp_path: Path, two_class: RunResult) -> None:
    with pytest.raises(DataError, match="holds no run"):
        read_run(tmp_path)
    folder = Path(write_run(tmp_path, two_class, page)["run_dir"])
    (folder / "run.json").write_text('{"study":')
    with pytest.raises(DataError, match="is not a record"):
        read_run(folder)

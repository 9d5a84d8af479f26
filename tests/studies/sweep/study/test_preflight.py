"""What is looked for before a sweep begins: nothing is written where it is not there."""

from pathlib import Path
from typing import Any

import pytest

from critlearn.cli.main import app, exit_code
from critlearn.errors import InvalidInputError
from critlearn.studies import Study
from critlearn.studies.config import ToyConfig, TwoClassConfig
from critlearn.studies.sweep.run import sweep
from critlearn.studies.sweep.study.preflight import check_study


def test_nothing_is_written_if_a_cell_cannot_be_begun(tmp_path: Path) -> None:
    study = Study.model_validate({"name": "s", "sweep": {"grid": {"inputs": ["uniform(0,1)", "unifrom(0,1)"]}}})
    with pytest.raises(InvalidInputError, match=r"sweep\.grid\.inputs\.1: .*unifrom"):
        list(sweep(study, str(tmp_path / "store")))
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_refuses_what_a_sweep_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("name: s\nsystem: {kind: two-class}\ndata:\n  data: mons\n")
    for more in ([], ["--dry-run"]):
        assert exit_code(app, ["sweep", str(path), "--store", str(tmp_path / "store"), *more]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith(f"critlearn: {path}:4: data.data: unknown data set")
    assert [item.name for item in tmp_path.iterdir()] == ["study.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        {"data": {"data": "openml:anything"}, "system": {"kind": "two-class"}},
        {"system": {"device": "cuda:3"}},
        {"measure": {"quantities": ["hidden2.bias"]}, "system": {"kind": "two-class"}},
    ],
)
def test_what_only_a_run_can_know_is_left_to_it(text: dict[str, Any]) -> None:
    assert len(check_study(Study.model_validate({"name": "s", **text}))) == 1


def test_quantities_are_those_of_some_cell() -> None:
    wide = {"name": "s", "system": {"kind": "two-class"}, "sweep": {"grid": {"hidden": [[4], [4, 4]]}}}
    check_study(Study.model_validate({**wide, "measure": {"quantities": ["hidden2.weight", "all"]}}))
    with pytest.raises(InvalidInputError, match=r'measure.quantities.0: unknown quantity "hidden3.weight"'):
        check_study(Study.model_validate({**wide, "measure": {"quantities": ["hidden3.weight"]}}))
    # As they stand in the records of tests/studies/test_runs.py.
    assert set(ToyConfig().quantities()) == {"bias", "weight"}
    assert set(TwoClassConfig(hidden=(6,)).quantities()) == {
        "output.bias", "output.weight", "hidden1.bias", "hidden1.weight", "output", "hidden1", "all.bias",
        "all.weight", "all",
    }  # fmt: skip


def test_more_than_two_classes_need_the_kind_that_has_outputs_for_them() -> None:
    study = {"name": "s", "data": {"data": "digits"}, "measure": {"quantities": ["output.bias"]}}
    (cell,) = check_study(Study.model_validate({**study, "system": {"kind": "classes"}}))
    assert cell.config.composition().name == "softmax+cross-entropy"
    with pytest.raises(InvalidInputError, match=r"^data\.data: .* 10 classes.*`critlearn run classes`"):
        check_study(Study.model_validate({**study, "system": {"kind": "two-class"}}))


def test_columns_are_swept_and_looked_for() -> None:
    study = {"name": "s", "system": {"kind": "two-class"}, "data": {"data": "moons"}}
    grid = {"columns": [["x0"], ["x1"], ["x0", "x1"]]}
    assert len(check_study(Study.model_validate({**study, "sweep": {"grid": grid}}))) == 3
    grid["columns"].append(["x2"])
    with pytest.raises(InvalidInputError, match=r'^data\.data: "moons" has no column "x2"'):
        check_study(Study.model_validate({**study, "sweep": {"grid": grid}}))


@pytest.mark.parametrize(("activation", "loss"), [("y/(1+abs(y))", "abs(e)**3"), ("softmax", "cross-entropy")])
def test_expressions_and_softmax_are_taken_where_names_are(activation: str, loss: str) -> None:
    system = {"kind": "two-class", "activation": activation, "loss": loss}
    (cell,) = check_study(Study.model_validate({"name": "s", "system": system, "data": {"data": "moons"}}))
    assert cell.config.composition().name == f"{activation}+{loss}"


@pytest.mark.parametrize(
    ("system", "message"),
    [
        ({"activation": "y/(1+"}, r"system\.activation: activation .* at column 6"),
        ({"loss": "abs(z)"}, r"system\.loss: loss .* unknown name \"z\".* at column 5"),
        ({"activation": "softmax", "loss": "cross-entropy"}, r"system\.activation: of the two-neuron model"),
        ({"activation": "tanh", "loss": "cross-entropy"}, r"system\.loss: loss .* goes with softmax only"),
    ],
)
def test_compositions_that_cannot_be_used_are_refused_at_their_place(system: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        check_study(Study.model_validate({"name": "s", "system": {"kind": "toy", **system}}))

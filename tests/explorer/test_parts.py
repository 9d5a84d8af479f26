"""What the page keeps, gives up, reads and names, without a browser."""

import json
import shutil
import threading
from pathlib import Path

import pandas as pd
import pytest

from critlearn.errors import InvalidInputError
from critlearn.explorer import compose
from critlearn.explorer.patience import within
from critlearn.explorer.pictures.phase_chart import cells_of, in_place_of_chart, in_words
from critlearn.explorer.stored_runs import explanation_of, label, quantity_of, runs_of
from critlearn.figures.study import PhasePanel


def _endless() -> None:
    while True:
        sum(range(100))


def test_what_takes_too_long_is_given_up() -> None:
    with pytest.raises(InvalidInputError, match=r"given up after 0\.2 seconds"):
        within(0.2, _endless)
    # Nothing arrives late.
    assert within(10.0, lambda: sum(range(100_000))) == 4_999_950_000


def test_what_swallows_the_first_call_is_given_up_at_the_next() -> None:
    def stubborn() -> None:
        try:
            _endless()
        except BaseException:
            _endless()

    with pytest.raises(InvalidInputError, match="given up"):
        within(0.1, stubborn)


def test_another_thread_is_given_up_alone() -> None:
    said = []

    def compute() -> None:
        try:
            within(0.2, _endless)
        except InvalidInputError as problem:
            said.append(str(problem))

    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    assert len(said) == 1


def test_a_prediction_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(compose, "_prediction", lambda request: asked.append(request) or compose.Answer((), ()))
    request = compose.Request("tanh", "mse", "normal(0,1)", 2.0, 0.25, "bias", sampled=False)
    compose._predicted(request)
    compose._predicted(compose.Request("tanh", "mse", "normal(0,1)", 2.0, 0.25, "bias", sampled=False))
    assert asked == [request]


@pytest.mark.parametrize(
    ("activation", "loss", "exact"),
    [("softmax", "cross-entropy", "kappa = 1,"), ("y/(1+abs(y))", "mse", "kappa = 4/3,")],
)
def test_what_is_composed_is_what_the_command_line_takes(activation: str, loss: str, exact: str) -> None:
    found = compose._prediction(compose.Request(activation, loss, "normal(1,1)", 4.0, 0.0, "bias", sampled=False))
    assert found.sentences[0].startswith(f"{activation}+{loss}: {exact}")
    assert any("p_t" in formula for formula in compose._formulas(activation, loss)) is (activation == "softmax")


def test_runs_are_read_again_when_one_is_added(study: Path, tmp_path: Path) -> None:
    first, second = sorted(study.iterdir())[:2]
    shutil.copytree(first, tmp_path / first.name)
    assert list(runs_of(tmp_path).labels) == [first.name]
    shutil.copytree(second, tmp_path / second.name)
    assert list(runs_of(tmp_path).labels) == [first.name, second.name]


def test_a_run_alone_is_shown(study: Path) -> None:
    run = sorted(study.iterdir())[0]
    runs = runs_of(run)
    record = json.loads((run / "run.json").read_text())
    assert runs.table["cell"].unique().tolist() == [run.name]
    assert sorted(runs.table["quantity"]) == sorted(record["quantities"])
    shown = quantity_of(run, run.name, "weight")
    assert shown is not None
    assert shown.statement == record["quantities"]["weight"]["statement"]
    assert quantity_of(run, run.name, "none such") is None


def test_runs_are_named_by_what_they_are() -> None:
    record = {"composition": {"name": "tanh+mse"}, "config": {"inputs": "normal(0,1)"}, "seed": 3, "data": "draws"}
    assert label("toy-tanh+mse-s3-20260101T000000", record, {}) == "tanh+mse · normal(0,1) · seed 3 · 20260101T000000"
    assert label("06968d6df80de988", record, {"batch_size": 10, "lr": None}) == (
        "tanh+mse · normal(0,1) · seed 3 · batch size 10 · 06968d6d"
    )


def test_a_phase_diagram_in_words() -> None:
    places = {"index": ["a", "b"], "columns": ["c"]}
    panel = PhasePanel(pd.DataFrame([[1.25], [None]], **places), pd.DataFrame([[True], [False]], **places))
    cells = cells_of(panel)
    assert cells["shown"].tolist() == ["1.25", "× ○"]
    assert in_words(cells, "bias", "loss", "rate") == (
        "Mean measured exponent of bias over rate and loss. a, c: 1.25; "
        "b, c: no power law (not every run at equilibrium)."
    )


@pytest.mark.parametrize(
    ("exponents", "said"),
    [([1.25, 1.3], None), ([1.2501, 1.2502], "in 2 cells"), ([1.25, None], "a, c"), ([None, None], "No cell")],
)
def test_exponents_that_are_one_are_told_in_place_of_a_diagram(exponents: list[float | None], said: str | None) -> None:
    values = pd.DataFrame({"c": exponents}, index=["a", "b"])
    found = in_place_of_chart(cells_of(PhasePanel(values, values.notna())), "bias")
    assert found is None if said is None else said in str(found)


def test_a_run_without_a_ladder_is_explained_by_nothing(study: Path, tmp_path: Path) -> None:
    run = next(path for path in study.iterdir() if path.is_dir())
    shutil.copytree(run, tmp_path / "runs" / run.name)
    found = explanation_of(tmp_path / "runs", run.name)
    record = json.loads((run / "run.json").read_text())
    assert found is not None
    levels = [level for quantity in record["quantities"].values() for level in quantity["ladder"]]
    assert found.ladder["outcome"].tolist() == [level["agreement"] or "identity" for level in levels]
    for quantity in record["quantities"].values():
        del quantity["ladder"], quantity["anatomy"], quantity["explanation"]
    (tmp_path / "runs" / run.name / "run.json").write_text(json.dumps(record))
    assert explanation_of(tmp_path / "runs", run.name) is None

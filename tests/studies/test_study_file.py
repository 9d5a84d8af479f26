"""Study files: what they expand to, and how mistakes in them are told."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from critlearn.errors import InvalidInputError
from critlearn.studies import Study, load_studies, load_study
from critlearn.studies.cells import expand


def cells_of(sweep: dict[str, Any], seeds: tuple[int, ...] = (0,)) -> list[dict[str, Any]]:
    return [cell.settings for cell in expand(Study(name="s", sweep=sweep, seeds=seeds))]  # type: ignore[arg-type]


def test_grid_zip_and_list_are_multiplied_and_conditions_keep_some() -> None:
    sweep = {
        "grid": {"activation": ["tanh", "softsign"]},
        "zip": {"lr": [0.1, 0.2], "epochs": [10, 20]},
        "list": [{"samples": 1000}, {"samples": 2000}],
        "where": ["lr < 0.15 and activation != tanh"],
    }
    found = [(c["activation"], c["lr"], c["epochs"], c["samples"], c["seed"]) for c in cells_of(sweep, (3, 4))]
    assert found == [("softsign", 0.1, 10, n, s) for n in (1000, 2000) for s in (3, 4)]


def test_random_draws_lie_in_their_range_and_repeat() -> None:
    random = {"count": 20, "seed": 1, "settings": {"lr": {"low": 1e-4, "high": 1e-2, "scale": "log"}}}
    first = [c["lr"] for c in cells_of({"random": random})]
    assert len(set(first)) == 20
    assert all(1e-4 <= lr <= 1e-2 for lr in first)
    assert first == [c["lr"] for c in cells_of({"random": random})]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: a\nsistem: {}\n", r':2: sistem: unknown key "sistem"; did you mean "system"'),
        ("name: a\ntraining:\n  epochs: many\n", r":3: training.epochs: .*integer.*'many'"),
        ("- 1\n", "holds no study"),
        ("name: a\nseeds: []\n", ":2: seeds"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=told):
        load_study(path)


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        ({"grid": {"activation": []}}, "no cells"),
        ({"grid": {"activatoin": ["tanh"]}}, 'did you mean "activation"'),
        ({"grid": {"activation": ["tanj"]}}, 'did you mean "tanh"'),
        ({"zip": {"lr": [0.1], "epochs": [1, 2]}}, "one length"),
        ({"where": ["lr ~ 3"]}, "NAME OPERATOR VALUE"),
    ],
)
def test_sweeps_that_cannot_be_are_refused(sweep: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        cells_of(sweep)


def test_names_of_cells_are_those_of_before_a_setting_was_added() -> None:
    # Of kind and settings as they were: a change of these names would run all finished cells again.
    (cell,) = expand(Study(name="s"))
    text = (
        '{"activation": "sigmoid", "batch_size": 10000, "data": null, "device": "cpu", "epochs": 200, '
        '"inputs": "uniform(-0.3,2.3)", "kind": "toy", "loss": "bce", "lr": 0.02, "samples": 2000000, "seed": 0, '
        '"target": null, "weight_decay": 0.0}'
    )
    assert cell.name == hashlib.sha256(text.encode()).hexdigest()[:16]
    on, off = (
        expand(Study.model_validate({"name": "s", "training": {"stop_at_equilibrium": stop}}))[0].name
        for stop in (True, False)
    )
    assert on == cell.name
    assert off != cell.name


def test_the_smoke_study_has_its_24_cells() -> None:
    assert len(expand(load_study(Path(__file__).parents[2] / "studies" / "smoke.yaml"))) == 24


def test_conditions_with_or_and_in() -> None:
    sweep = {
        "grid": {"activation": ["tanh", "identity"], "loss": ["bce", "mse", "mae"]},
        "where": ["loss in [mse, mae] or activation == tanh and loss == bce"],
    }
    found = {(c["activation"], c["loss"]) for c in cells_of(sweep)}
    assert found == {("tanh", "bce"), ("tanh", "mse"), ("tanh", "mae"), ("identity", "mse"), ("identity", "mae")}


def test_a_file_with_several_studies(tmp_path: Path) -> None:
    path = tmp_path / "studies.yaml"
    path.write_text("name: a\n---\nname: b\nsystem:\n  kind: two-class\n")
    assert [(study.name, study.system.kind) for study in load_studies(path)] == [("a", "toy"), ("b", "two-class")]
    path.write_text("name: a\n---\nname: b\nsystem:\n  knd: two-class\n")
    with pytest.raises(InvalidInputError, match=r":5: system.knd: unknown key .*kind"):
        load_studies(path)
    path.write_text("name: a\n---\nname: a\n")
    with pytest.raises(InvalidInputError, match='two studies of the name "a"'):
        load_studies(path)

"""Study files: what they expand to, and how mistakes in them are told."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from critlearn.errors import DataError, InvalidInputError
from critlearn.studies import Study, load_studies, load_study
from critlearn.studies.sweep.results.store import ResultsStore
from critlearn.studies.sweep.study.cells import expand
from critlearn.studies.sweep.study.conditions import parse_condition
from critlearn.studies.sweep.study.schema import study_text


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
        ("name: a\nseeds: []\n", ":2: seeds: needs at least 1 entry"),
        ("name: a\nsystem: toy\n", ":2: system: should be a mapping; got 'toy'$"),
        ("name: a\nmeasure:\n  quantities: bias\n", ":3: measure.quantities: should be a list; got 'bias'$"),
        ("seeds: [1]\n", ":1: name: is missing$"),
        (
            "name: a\nsweep:\n  random:\n    count: 2\n    settings:\n      lr: {high: 1}\n",
            ":6: sweep.random.settings.lr.low: is missing$",
        ),
        (
            "name: a\nsweep:\n  random:\n    count: 2\n    settings:\n      lr: {lo: 0.1, high: 1}\n",
            ':6: sweep.random.settings.lr.lo: unknown key "lo"; did you mean "low"',
        ),
        (
            "name: a\nsweep:\n  random:\n    count: 2\n    settings:\n      lr: {low: 2, high: 1}\n",
            ":6: sweep.random.settings.lr: a range needs low < high",
        ),
        # What cells are given.
        (
            "name: a\nsweep:\n  grid:\n    loss: [bce]\n    lr: [0.1,\n      -1]\n",
            ":6: sweep.grid.lr.1: should be .* -1$",
        ),
        ("name: a\ntraining: {lr: 0}\n", ":2: training.lr: should be greater than 0; got 0.0$"),
        ("name: a\nsweep:\n  grid:\n    activatoin: [tanh]\n", ':4: .*did you mean "activation"'),
        ("name: a\nsweep:\n  where: [los == bce]\n", ':3: sweep.where.0: unknown setting "los"; did you mean "loss"'),
        (
            "name: a\nsweep:\n  list:\n    - {loss: bce}\n    - {loss: bec}\n",
            ':5: sweep.list.1.loss: .*did you mean "bce"',
        ),
        ("name: a\nsystem:\n  activation: identity\n  loss: bce\n", ':4: system.loss: loss "bce" needs an activation'),
        ("name: a\nsystem: {device: abacus}\n", ':2: system.device: "abacus" is not a device'),
        ("name: a\ndata: {inputs: 'unifrom(0,1)'}\n", ":2: data.inputs: .*uniform"),
        ("name: a\ndata: {data: no.csv}\n", ':2: data.data: no such file: "no.csv"'),
        (
            "name: a\nsystem: {kind: two-class}\nsweep:\n  grid:\n    data: [moons,\n      mons]\n",
            ':6: sweep.grid.data.1: unknown data set "mons"; did you mean "moons"',
        ),
        (
            "name: a\nsystem:\n  kind: two-class\n  hidden_activation: tanj\n",
            ':4: system.hidden_activation: .*did you mean "tanh"',
        ),
        # What would be lost, or be empty.
        ("name: a\nsystem:\n  loss: bce\n  loss: mse\n", ':4: the key "loss" is given twice'),
        (
            "name: a\ntraining: {lr: 0.1}\nsweep:\n  grid: {lr: [0.2]}\n",
            ':4: .*"lr" is given twice: under training and',
        ),
        (
            "name: a\nsweep:\n  grid: {lr: [0.2, 0.1]}\n  zip: {lr: [0.3]}\n",
            ':4: sweep.zip.lr.0: "lr" is given twice: under sweep.grid and under sweep.zip',
        ),
        (
            "name: a\nmeasure:\n  quantities: [bias, bais]\n",
            ':3: measure.quantities.1: unknown quantity "bais"; did you mean "bias"',
        ),
    ],
)
def test_mistakes_are_told_with_their_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=told):
        load_study(path)


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        ({"grid": {"activation": []}}, "no cells"),
        ({"grid": {"activatoin": ["tanh"]}}, 'did you mean "activation"'),
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
    (modes,) = expand(Study.model_validate({"name": "s", "measure": {"modes": True}}))
    assert modes.config.modes is True
    assert modes.name != cell.name


def test_the_smoke_study_has_its_24_cells() -> None:
    assert len(expand(load_study(Path(__file__).parents[4] / "studies" / "smoke.yaml"))) == 24


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


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[4] / "studies").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_study_written_as_a_file_is_the_same_study(path: Path, tmp_path: Path) -> None:
    for study in load_studies(path):
        written = tmp_path / f"{study.name}.yaml"
        written.write_text(study_text(study), encoding="utf-8")
        assert load_study(written) == study
        assert [cell.name for cell in expand(load_study(written))] == [cell.name for cell in expand(study)]


def test_a_store_keeps_the_file_of_its_study(tmp_path: Path) -> None:
    study = Study(name="small", sweep={"grid": {"loss": ["mse", "bce"]}}, seeds=(3,))  # type: ignore[arg-type]
    store = ResultsStore(str(tmp_path / "store"), create=True)
    assert store.study_file("small") is None
    store.register(study, expand(study))
    assert store.study_file("small") == str(tmp_path / "store" / "studies" / "small.yaml")
    assert load_study(tmp_path / "store" / "studies" / "small.yaml") == study
    assert list(store.studies()) == ["small"]


@pytest.mark.parametrize("text", ["[" * 5000, "a: &a [&b [*a]]\n", "name: x\nsweep: &a\n  grid: *a\n"])
def test_files_that_are_nested_without_end_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(DataError, match=r"more than 64 levels|an alias stands inside what it names"):
        load_studies(tmp_path / "study.yaml")


@pytest.mark.parametrize(
    ("sweep", "number"),
    [
        ("grid: {lr: LIST, weight_decay: LIST, epochs: LIST, samples: LIST}", "1,000,000,000,000"),
        ("zip: {lr: LIST, weight_decay: LIST}, grid: {epochs: LIST}", "1,000,000"),
        ("random: {count: 1000000, settings: {lr: [0.1, 0.2]}}", "1,000,000"),
        ("list: [{lr: 0.1}, {lr: 0.2}], random: {count: 60000, settings: {epochs: [1]}}", "120,000"),
    ],
)
def test_cells_are_counted_before_one_is_made(sweep: str, number: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"name: large\nsweep: {{{sweep.replace('LIST', str([*range(1, 1001)]))}}}\n")
    with pytest.raises(InvalidInputError, match=f"study.yaml:2: sweep: {number} combinations of settings and seeds"):
        load_study(path)


def test_a_name_fits_into_that_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: " + "a" * 201)
    with pytest.raises(InvalidInputError, match="at most 200 characters"):
        load_study(tmp_path / "study.yaml")


@pytest.mark.parametrize(
    "value",
    ["!!int abc", "2020-13-45", "1" * 5000, "[" * 3000, "&a [*a]", "a: b: c", "1\n---\n2",
     "1e999", "-1e999", "inf", ".inf", "nan", ".nan", "[0, .nan]"],
)  # fmt: skip
def test_conditions_with_hostile_values_are_refused(value: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_condition(f"lr == {value}")

"""``critlearn sweep`` as a user meets it: what it refuses, in one line, before anything is written."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from critlearn.cli.main import app, exit_code

STUDY = """
name: one
system: {activation: softsign, loss: mse}
data: {samples: 2000}
training: {epochs: 20, batch_size: 500, lr: 0.05}
"""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--address", "10.0.0.1:6379"], "--address is an option of --engine ray"),
        (["--num-gpus", "1"], "--num-gpus is an option of --engine ray"),
        (["--engine", "ray", "--num-cpus", "0"], "a task needs more than 0 processors; got 0"),
        (["--engine", "ray", "--num-gpus", "-1"], "must not be negative; got -1"),
        (["--engine", "ray", "--address", "here"], '"here" is not the address of a Ray cluster'),
        (["--engine", "rya"], "'ray'"),
        (["--memory", "0.1"], "the memory of a cell is 0.1 GiB; a process needs at least 0.5 GiB to begin"),
        (["--processes", "100000"], "an equal share for 100000 processes is"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    study = tmp_path / "one.yaml"
    study.write_text(STUDY)
    assert exit_code(app, ["sweep", str(study), "--store", str(tmp_path / "store"), *options]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert message in told.err
    assert not list(tmp_path.glob("store/cells/*"))


def test_a_dry_run_needs_a_store_that_can_be_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "one.yaml"
    study.write_text(STUDY)
    # A port on which nothing answers; a folder below a file.
    for store in ("http://127.0.0.1:1/store", str(study / "store")):
        for more in ([], ["--dry-run"]):
            assert exit_code(app, ["sweep", str(study), "--store", store, *more]) == 2
            told = capsys.readouterr()
            assert told.out == ""
            assert f'the store "{store}" cannot be used: ' in told.err
    assert exit_code(app, ["sweep", str(study), "--store", str(tmp_path / "none"), "--dry-run"]) == 0
    assert not (tmp_path / "none").exists()


def test_without_ray_it_is_said_how_to_install_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    study = tmp_path / "one.yaml"
    study.write_text(STUDY)
    assert exit_code(app, ["sweep", str(study), "--store", str(tmp_path / "store"), "--engine", "ray"]) == 2
    assert capsys.readouterr().err == 'critlearn: the engine "ray" needs Ray: pip install "critlearn[ray]"\n'


def test_the_schema_of_study_files_is_printed_and_fits_the_worked_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(app, ["sweep", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema = pytest.importorskip("jsonschema")
    folder = Path(__file__).parents[2] / "studies"
    for path in folder.glob("*.yaml"):
        for content in yaml.safe_load_all(path.read_text()):
            jsonschema.validate(content, schema)
    with pytest.raises(jsonschema.ValidationError, match="sistem"):
        jsonschema.validate({"name": "a", "sistem": {}}, schema)


def test_a_device_that_is_not_here_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "one.yaml"
    study.write_text(STUDY.replace("loss: mse", "loss: mse, device: xpu"))
    for more in ([], ["--dry-run"]):
        assert exit_code(app, ["sweep", str(study), "--store", str(tmp_path / "store"), *more]) == 2
        assert 'system.device: device "xpu" is not available; available: cpu' in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_cells_are_told_by_what_distinguishes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, store = tmp_path / "one.yaml", str(tmp_path / "store")
    study.write_text(
        f"{STUDY}sweep: {{grid: {{loss: [bce, mse]}}}}\n".replace(", loss: mse", "").replace("epochs: 20", "epochs: 2")
    )
    assert exit_code(app, ["sweep", str(study), "--store", store, "--dry-run"]) == 0
    listed = capsys.readouterr().out.splitlines()
    labels = [f"one: loss={loss}, seed=0" for loss in ("bce", "mse")]
    assert [line.split("  ")[1] for line in listed[:2]] == labels
    assert exit_code(app, ["sweep", str(study), "--store", store]) == 0
    told = capsys.readouterr().err.splitlines()
    names = [line.split("  ")[0] for line in listed[:2]]
    assert told[:2] == [
        f"{number} of 2: {label}: finished ({name})"
        for number, (label, name) in enumerate(zip(labels, names, strict=True), 1)
    ]

"""``critlearn run`` as a user meets it: what is printed, what is written, what is refused."""

import contextlib
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from critlearn.cli.main import app, exit_code
from critlearn.fluctuations import load_fluctuations

PROGRAM = [sys.executable, "-c", "from critlearn.cli.main import main; main()"]
TOY = ["run", "toy", "--samples", "20000", "--epochs", "60", "--batch-size", "1000"]
TWO_CLASS = ["run", "two-class", "--data", "gaussians", "--hidden", "4", "--epochs", "25"]
CLASSES = ["run", "classes", "--data", "digits:1v4v7", "--hidden", "4", "--epochs", "25"]


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in _numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, float) else []


@pytest.fixture(scope="module", params=["toy", "two-class", "classes"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], Path]:
    """Study, the object that was printed, and the run's folder."""
    out = tmp_path_factory.mktemp(request.param)
    settings = {"toy": TOY, "two-class": TWO_CLASS, "classes": CLASSES}[request.param]
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()) as told:
        assert exit_code(app, [*settings, "--json", "--out", str(out)]) == 0
    assert told.getvalue() == ""
    return request.param, json.loads(printed.getvalue()), out


def test_json_is_one_object_with_the_names_that_programs_read(run: tuple[str, dict[str, Any], Path]) -> None:
    study, record, _ = run
    assert {"run_dir", "config", "versions", "seed", "seconds", "equilibrium", "accuracy", "quantities"} <= set(record)
    assert {"certified", "reason", "fraction", "frozen", "epochs"} <= set(record["equilibrium"])
    of_network = [
        "output.bias", "output.weight", "hidden1.bias", "hidden1.weight", "output", "hidden1", "all.bias",
        "all.weight", "all",
    ]  # fmt: skip
    expected = ["bias", "weight"] if study == "toy" else of_network
    assert sorted(record["quantities"]) == sorted(expected)
    for quantity in record["quantities"].values():
        assert {"axis", "count", "zeros", "measured", "predicted", "agreement", "statement"} <= set(quantity)
        names = {"exponent", "stderr", "ci95", "window", "decades", "n", "ks", "p_value", "verdict"}
        assert names <= set(quantity["measured"])
        assert quantity["predicted"] is None or {"exponent", "exact", "window", "decades"} <= set(quantity["predicted"])
        assert quantity["agreement"] in ("agrees", "disagrees", "cannot tell", None)
    assert all(math.isfinite(number) for number in _numbers(record))


def test_folder_holds_the_whole_run(run: tuple[str, dict[str, Any], Path]) -> None:
    study, record, out = run
    folder = Path(record["run_dir"])
    assert [path.name for path in out.iterdir()] == [folder.name]
    assert json.loads((folder / "run.json").read_text()) == record
    page = (folder / "report.html").read_text()
    statement = next(iter(record["quantities"].values()))["statement"]
    assert statement in page
    weights = load_file(folder / "model.safetensors")
    fluctuations = load_fluctuations(folder / "fluctuations.npz")
    if study == "toy":
        assert weights["weight"].item() == pytest.approx(record["weight"])
        assert fluctuations["bias"].count == 20_000
    else:
        # scikit-learn has 182 images of a one, 181 of a four and 179 of a seven.
        samples, inputs, outputs = (2000, 2, 1) if study == "two-class" else (182 + 181 + 179, 64, 3)
        assert fluctuations["all"].count == samples * sum(array.size for array in weights.values())
        assert {path: array.shape for path, array in weights.items()} == {
            "hidden1.weight": (4, inputs),
            "hidden1.bias": (4,),
            "output.weight": (outputs, 4),
            "output.bias": (outputs,),
        }


def test_piped_it_is_silent_but_for_the_result(tmp_path: Path) -> None:
    done = subprocess.run([*PROGRAM, *TWO_CLASS, "--out", str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert "luctuations of the output bias" in done.stdout
    assert "report.html" in done.stdout
    assert "…" not in done.stdout
    assert len(done.stdout.splitlines()) <= 24
    # The page has its pictures, and nothing is loaded from elsewhere.
    (page,) = (path.read_text() for path in tmp_path.glob("*/report.html"))
    assert page.count("data:image/svg+xml") > 3
    assert not re.search(r"""(src|href|url\()=?["']?\s*(https?:)?//""", page)


def test_quiet_prints_the_folder_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(app, [*TWO_CLASS, "--quiet", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert Path(printed.strip()).is_dir()
    assert len(printed.splitlines()) == 1


def test_seed_repeats_a_run_to_the_last_bit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = []
    for seed in (3, 3, 4):
        shorter = ["--epochs", "3", "--seed", str(seed), "--out", str(tmp_path)]
        assert exit_code(app, [*TWO_CLASS, "--quiet", *shorter]) == 0
        folders.append(Path(capsys.readouterr().out.strip()))
    same, again, other = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(np.array_equal(same[name], again[name]) for name in same)
    assert not all(np.array_equal(same[name], other[name]) for name in same)
    first, second = (load_fluctuations(folder / "fluctuations.npz") for folder in folders[:2])
    assert all(first[name] == second[name] for name in first)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "two-class", "--lr", "0"], ["--lr", "greater than 0"]),
        (["run", "two-class", "--lr", "nan"], ["--lr"]),
        (["run", "two-class", "--epochs", "0"], ["--epochs"]),
        (["run", "two-class", "--batch-size", "9" * 23], ["--batch-size"]),
        (["run", "two-class", "--hidden", "9999999999999"], ["--hidden"]),
        (["run", "two-class", "--hidden", "900000,900000"], ["weights"]),
        (["run", "toy", "--samples", "1000000000000000"], ["--samples"]),
        (["run", "two-class", "--epochs", "many"], ["--epochs", "integer"]),
        (["run", "two-class", "--seeds", "0"], ["seeds must be 1 to 1000; got 0"]),
        (["run", "classes", "--seeds", "-3"], ["seeds must be 1 to 1000; got -3"]),
        (["run", "toy", "--seeds", "x"], ["--seeds", "integer"]),
        (["run", "two-class", "--seeds", "3", "--activation", "softsing"], ['did you mean "softsign"']),
        (["run", "two-class", "--activation", "softsing"], ['did you mean "softsign"']),
        (["run", "two-class", "--loss", "mze"], ['unknown loss "mze"', '"mse"']),
        (["run", "two-class", "--activation", "identity"], ['"bce"', "mse", "cauchy"]),
        (["run", "two-class", "--hidden", "32,x"], ["--hidden", "32,32"]),
        (["run", "two-class", "--hidden-activation", "rellu"], ['"relu"']),
        (["run", "two-class", "--data", "nowhere.csv"], ["no such file", "nowhere.csv"]),
        (["run", "two-class", "--data", "digits:3v3"], ["two different digits"]),
        (["run", "two-class", "--data", "digits"], ["10 classes", "`critlearn run classes`", "digits:3v8"]),
        (["run", "toy", "--data", "digits"], ["64 features", "`run two-class`"]),
        (["run", "two-class", "--data", "moon"], ['did you mean "moons"']),
        (["run", "two-class", "--data", "flights", "--target", "day"], ["--target", "fixed"]),
        (["run", "two-class", "--drop", "mnth"], ['"mnth"', 'did you mean "month"']),
        (["run", "two-class", "--columns", ","], ["--columns", "id,age"]),
        (["run", "classes", "--activation", "sigmoid"], ["--activation", "softmax", "`run two-class`"]),
        (["run", "classes", "--loss", "mse"], ["softmax", "cross-entropy"]),
        (["run", "two-class", "--device", "abacus"], ["abacus", "available: cpu"]),
        (["run", "two-class", "--seed", "-1"], ["--seed"]),
        (["run", "toy", "--inputs", "unifrm(0,1)"], ['did you mean "uniform"']),
        (["run", "toy", "--samples", "10"], ["--samples", "1000"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    arguments: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(app, [*arguments, "--out", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    for word in words:
        assert word in printed.err
    assert list(tmp_path.iterdir()) == []


def test_refused_input_leaves_no_folder_for_runs(tmp_path: Path) -> None:
    assert exit_code(app, ["run", "two-class", "--data", "nowhere.csv", "--out", str(tmp_path / "a" / "b")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_names_and_sizes_of_any_kind_are_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    path = tmp_path / "odd [k] name.csv"
    lines = [f"{1e300 * x},{1e-310 * z},1,{'yes' if x + z > 0 else 'no'}" for x, z in generator.normal(size=(200, 2))]
    path.write_text("\n".join(["huge,tiny,[/k],class", *lines]))
    short = [
        "run",
        "two-class",
        "--hidden",
        "3",
        "--epochs",
        "20",
        "--data",
        str(path),
        "--out",
        str(tmp_path / "runs"),
    ]
    assert exit_code(app, short) == 0
    printed = capsys.readouterr()
    assert "constant: [/k]" in printed.out
    (folder,) = (tmp_path / "runs").iterdir()
    record = json.loads((folder / "run.json").read_text())
    # Both features decide the class, so a network that sees both is nearly always right, and one that sees one is not.
    assert record["accuracy"] > 0.85
    assert f"--data '{path}'" in (folder / "report.html").read_text().replace("&#39;", "'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a,b,class\n", "no rows"),
        ("a,class\n1,x\n2,x\n3,x\n", "1 class"),
        ("0.5,1\n0.25,0\n0.125,1\n", "no names of columns"),
        ("a,class\n1,x\n2,y\n3,z\n", "fewer than 2 samples of class"),
        ("a,class\n1,x\n2,y\n3,z\n4,x\n5,y\n6,z\n", "`critlearn run classes`"),
        ("a,class\n1,x\n,y\n3,y\n4,x\n", "row 2"),
        ("a,class\n1,x\nred,y\n3,y\n4,x\n", "'red'"),
    ],
)
def test_bad_files_are_refused(text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "data.csv"
    path.write_text(text)
    assert exit_code(app, ["run", "two-class", "--data", str(path), "--out", str(tmp_path / "runs")]) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert len(printed.splitlines()) == 1


def test_output_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert exit_code(app, [*TWO_CLASS, "--out", str(blocked / "runs")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    from critlearn import __version__

    assert exit_code(app, ["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__
    assert exit_code(app, ["run", "two-class", "--help"]) == 0
    assert "--hidden-activation" in capsys.readouterr().out

"""``critlearn dynamics`` as a user meets it."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from critlearn.cli.main import app, exit_code
from critlearn.cli.series_files import read_series
from critlearn.monitoring import MonitorRecord
from critlearn.monitoring.updates import UpdateSeries
from critlearn.storage import save
from reference.time_series import ornstein_uhlenbeck
from shape_checker import switched_off

WALK = np.stack([ornstein_uhlenbeck(5.0, 400, seed) for seed in range(3)], axis=1).astype(np.float32)


def run(*arguments: object) -> int:
    # Types of options are those of the command line.
    with switched_off():
        return exit_code(app, ["dynamics", *map(str, arguments)])


def checkpoints(folder: Path, numbers: list[int] | None = None) -> list[Path]:
    """Checkpoints of three variables in two tensors, and a counter."""
    paths = []
    for row, number in zip(WALK, numbers or range(0, 10 * len(WALK), 10), strict=False):
        path = folder / f"step{number}.safetensors"
        tensors = {"layer.weight": row[:2].reshape(2, 1), "layer.bias": row[2:], "count": np.array([number])}
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)
        paths.append(path)
    return paths


def test_an_array_a_table_and_checkpoints_are_the_same_series(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "walk.npy", WALK[:, [2, 0, 1]])
    rows = "\n".join(",".join(f"{value:.9g}" for value in (10 * step, *row)) for step, row in enumerate(WALK))
    (tmp_path / "walk.csv").write_text(f"Step,b,w0,w1\n{rows}\n", encoding="utf-8")
    answers = []
    for files in (["walk.npy"], ["walk.csv"], checkpoints(tmp_path)[::-1]):
        assert run(*(tmp_path / file for file in files), "--json") == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        answers.append(json.loads(printed.out))
    for answer in answers:
        assert answer["variables"] == 3
        for name, value in (("spectrum", "slope"), ("autocorrelation", "time"), ("branching", "naive")):
            assert answer["observed"][name][value] == pytest.approx(answers[0]["observed"][name][value], rel=1e-5)


def test_the_screen_the_picture_and_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "walk.npy", WALK)
    assert run(tmp_path / "walk.npy", "--plot", tmp_path / "a.png", "--out", tmp_path / "a.json") == 0
    assert run(tmp_path / "walk.npy", "--report", tmp_path / "a.html") == 0
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    for said in ("Signs of criticality", "phases at random", "The axis is time", "data:image/svg+xml"):
        assert said in page
    screen = capsys.readouterr().out
    assert "3 variables over 400 steps" in screen
    assert "shuffled" in screen
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["steps"] == 400


def test_bfloat16_is_read_as_float32(tmp_path: Path) -> None:
    # Numbers of few digits, which bfloat16 holds exactly; written by the format's own description.
    numbers = np.array([1.0, -2.5, 0.15625, 3e38], dtype=np.float32)
    numbers = (numbers.view(np.uint32) & 0xFFFF0000).view(np.float32)
    data = (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = json.dumps({"w": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}).encode()
    for step in range(3):
        (tmp_path / f"{step}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
    files = [str(tmp_path / f"{step}.safetensors") for step in range(3)]
    read = read_series(files, only=None, time=None, variables=100, seed=0)
    assert read.series.dtype == np.float32
    assert np.array_equal(read.series, np.stack([numbers] * 3))


def test_names_choose_tensors_and_entries_are_drawn_alike(tmp_path: Path) -> None:
    files = [str(path) for path in checkpoints(tmp_path)]
    read = read_series(files, only="*.weight", time=None, variables=100, seed=0)
    assert np.array_equal(read.series, WALK[:, :2])
    one = read_series(files, only=None, time=None, variables=1, seed=3)
    assert any(np.array_equal(one.series[:, 0], column) for column in WALK.T)
    assert "1 of 3 entries" in one.source


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.npy"], "there is no file"),
        (["none.safetensors"], "there is no file"),
        (["short.npy"], "at least 100 time steps; got 1 time step"),
        (["flat.csv"], "constant"),
        (["nan.npy"], "NaN"),
        (["irregular.csv"], "equally spaced"),
        (["cube.npy"], "(time, variable)"),
        (["pickled.npy"], "Python objects"),
        (["broken.safetensors", "flat.csv"], "one series is one file"),
        (["broken.safetensors"], "is no safetensors file"),
        (["text.csv"], "does not hold numbers"),
        (["walk.npy", "--only", "a*"], "an array has not"),
        (["walk.npy", "--activity", "vales"], 'did you mean "values"'),
        (["walk.npy", "--quantile", "1"], "[0, 1)"),
        (["walk.npy", "--plot", "a.jpg"], ".svg, .pdf or .png"),
        (["walk.npy", "--out", "none/a.json"], "no folder"),
        (["walk.npy", "--report", "none/a.html"], "no folder"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("walk.npy", WALK)
    np.save("short.npy", WALK[:1])
    np.save("nan.npy", np.where(WALK > 2, np.nan, WALK))
    np.save("cube.npy", np.zeros((200, 2, 2)))
    np.save("pickled.npy", np.array([{}] * 200), allow_pickle=True)
    Path("flat.csv").write_text("a\n" + "1\n" * 200, encoding="utf-8")
    Path("text.csv").write_text("a,b\n" + "1,x\n" * 200, encoding="utf-8")
    Path("irregular.csv").write_text("time,a\n" + "".join(f"{t * t},{t % 7}\n" for t in range(200)), encoding="utf-8")
    Path("broken.safetensors").write_bytes(b"\x08" * 100)
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.startswith("critlearn: ")
    assert printed.err.count("\n") == 1


def test_checkpoints_of_irregular_times_and_of_other_networks_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*checkpoints(tmp_path, [0, 1, 2, 4, 8, 16])) == 2
    assert "equally spaced" in capsys.readouterr().err
    paths = checkpoints(tmp_path, list(range(100, 104)))
    save_file({"other": WALK[0]}, paths[2])
    assert run(*paths) == 2
    assert "another network" in capsys.readouterr().err


def save_walk(paths: list[Path], walk: np.ndarray = WALK) -> list[Path]:
    """Checkpoints of one tensor of shape (1, 3) at the paths, in their order."""
    for row, path in zip(walk, paths, strict=False):
        path.parent.mkdir(exist_ok=True)
        save_file({"w": np.ascontiguousarray(row[None, :])}, path)
    return paths


def names_in_order(template: str, times: list[int]) -> list[str]:
    """Names whose first field is the time and whose second one, a loss, goes up and down."""
    return [template.format(time, 100 + 37 * row % 11) for row, time in enumerate(times)]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("checkpoint-{}/model.safetensors", "checkpoint 0 to 5500"),
        ("{:06d}.safetensors", "number 0 to 5500"),
        ("global_step={}-loss=0.{}.safetensors", "step 0 to 5500"),
        ("time{:.2f}_2.safetensors", "time 0 to 5500"),
    ],
)
def test_the_time_of_a_checkpoint_is_a_number_in_its_path(template: str, said: str, tmp_path: Path) -> None:
    files = save_walk([tmp_path / name for name in names_in_order(template, list(range(0, 6000, 500)))])
    read = read_series([str(file) for file in files[::-1]], only=None, time=None, variables=9, seed=0)
    assert np.array_equal(read.series, WALK[: len(files)])
    assert said in read.source


def test_epochs_beside_equally_spaced_steps_are_no_second_time(tmp_path: Path) -> None:
    files = save_walk([tmp_path / f"epoch={step // 70}-step={step}.safetensors" for step in range(0, 1200, 100)])
    read = read_series([str(file) for file in files[::-1]], only=None, time=None, variables=9, seed=0)
    assert np.array_equal(read.series, WALK[: len(files)])


SQUARES = [500 * row**2 for row in range(12)]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (names_in_order("checkpoint-{}/model.safetensors", SQUARES), 'after "checkpoint"'),
        (names_in_order("{}/model.safetensors", SQUARES), "equally spaced"),
        ([f"part{row}-step{step}.safetensors" for row, step in enumerate(SQUARES)], 'after "step"'),
        ([f"epoch{row // 3}-step{row % 3}.safetensors" for row in range(12)], "first one, as in"),
        (names_in_order("loss{1}-step{0}.safetensors", list(range(12))), "first one, as in"),
        (["step1.safetensors", "step01.safetensors"], "same step"),
        (["step1/a.safetensors", "step1/b.safetensors"], "differ in more than numbers"),
        (["step1-rank0.safetensors", "step1-rank1.safetensors", "step2-rank0.safetensors"], "first one, as in"),
    ],
)
def test_an_order_in_time_that_names_leave_open_is_refused(
    names: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*save_walk([tmp_path / name for name in names])) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def test_tensors_of_equal_size_and_other_shape_are_of_another_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = save_walk([tmp_path / f"step{step}.safetensors" for step in range(5)])
    save_file({"w": WALK[3][:, None].copy()}, files[3])
    assert run(*files) == 2
    assert "other names, shapes or types" in capsys.readouterr().err


def test_double_precision_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # As float32, 1 + 1e-9 is 1 and the series would be constant. The spectrum does not depend on scale and offset.
    slopes = []
    for name, walk in (("plain", WALK.astype(np.float64)), ("offset", 1 + 1e-9 * WALK.astype(np.float64))):
        files = [tmp_path / name / f"step{step}.safetensors" for step in range(len(walk))]
        assert run(*save_walk(files, walk), "--json") == 0
        slopes.append(json.loads(capsys.readouterr().out)["observed"]["spectrum"]["slope"])
    assert slopes[1] == pytest.approx(slopes[0], rel=1e-4)


def test_tensors_that_are_not_read_are_named(tmp_path: Path) -> None:
    header = json.dumps(
        {
            "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "scaled": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [8, 12]},
            "count": {"dtype": "I32", "shape": [1], "data_offsets": [12, 16]},
        }
    ).encode()
    file = tmp_path / "step1.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    source = read_series([str(file)], only=None, time=None, variables=9, seed=0).source
    assert source.endswith("count (I32), scaled (F8_E4M3)")


def table(file: Path, **columns: object) -> str:
    """Table of 200 rows with the columns named, and a walk."""
    rows = zip(*(columns[name] for name in columns), WALK[:200, 0], strict=True)  # type: ignore[call-overload]
    lines = [",".join(columns) + ",loss", *(",".join(map(str, row)) for row in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


REGULAR = range(0, 2000, 10)
IRREGULAR = [row * row for row in range(200)]
DAYS = [f"2026-01-{1 + row // 24:02d} {row % 24:02d}:00:00" for row in range(200)]


@pytest.mark.parametrize(
    ("columns", "time", "left_out"),
    [
        ({"Wall time": IRREGULAR, "Step": REGULAR}, "Step", "Wall time"),
        ({"epoch": [row // 50 for row in range(200)], "Iteration": REGULAR}, "Iteration", "epoch"),
        ({"": range(200), "wall_time": REGULAR}, "wall_time", "Unnamed: 0"),
        ({"": range(200)}, "Unnamed: 0", None),
        ({"_timestamp": DAYS}, "_timestamp", None),
        *(({name: REGULAR}, name, None) for name in ("Epoch", "iterations", "iter", "index", "batch", "WALL TIME")),
    ],
)
def test_columns_that_are_times_are_no_variables(
    columns: dict[str, object], time: str, left_out: str | None, tmp_path: Path
) -> None:
    read = read_series([table(tmp_path / "a.csv", **columns)], only=None, time=None, variables=1, seed=0)
    assert np.allclose(read.series, WALK[:200, :1])
    assert f"1 variable (loss); time: {time}" in read.source
    assert ("left out" in read.source) == (left_out is not None)
    assert left_out is None or read.source.endswith(f"left out: {left_out}")


def test_irregular_times_are_refused_by_the_name_of_their_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, times in (("epoch", IRREGULAR), ("Unnamed: 0", IRREGULAR), ("timestamp", DAYS[:150] + DAYS[100:150])):
        assert run(table(tmp_path / "a.csv", **{name: times})) == 2
        printed = capsys.readouterr().err
        assert f'column "{name}", taken as the time' in printed
        assert "equally spaced" in printed
        assert printed.count("\n") == 1


def test_a_column_with_the_name_of_a_time_can_be_studied(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", step=REGULAR, index=IRREGULAR)
    read = read_series([file], only="index", time=None, variables=1, seed=0)
    assert np.array_equal(read.series[:, 0], IRREGULAR)
    assert "1 variable (index); time: step" in read.source


def test_the_screen_says_what_was_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ",".join(f"w{number}" for number in range(12))
    rows = "\n".join(",".join(f"{value:.9g}" for value in np.tile(row, 4)) for row in WALK)
    (tmp_path / "a.csv").write_text(f"{names}\n{rows}\n", encoding="utf-8")
    assert run(tmp_path / "a.csv") == 0
    said = capsys.readouterr().out
    assert "12 variables (w0, w1, w2, w3, w4, w5, w6, w7 and 4 more); time: no column, rows are equally spaced" in said


def test_the_record_of_a_monitor_is_a_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = np.r_[0:100, 150:450]
    series = UpdateSeries(
        {"0.weight": np.array([3, 5]), "0.bias": np.array([0])},
        {"0.weight": WALK[:, :2].astype(np.float64), "0.bias": WALK[:, 2:].astype(np.float64)},
        steps,
    )
    record = MonitorRecord((), series, 10, 10, "at every step", 450, 1.0, 0.1)
    save(record, tmp_path / "record.safetensors")
    assert run(tmp_path / "record.safetensors", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    # Only the longer of the two stretches.
    assert (found["steps"], found["variables"]) == (300, 3)
    assert "record of a monitor, 3 variables, steps 150 to 449 of 450" in found["series"]
    assert run(tmp_path / "record.safetensors", "--only", "*.bias", "--json") == 0
    assert json.loads(capsys.readouterr().out)["variables"] == 1
    assert run(tmp_path / "record.safetensors", "--only", "1.*") == 2
    assert 'is called "1.*"; it has 0.bias, 0.weight' in capsys.readouterr().err

"""``critlearn dynamics`` as a user meets it."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from critlearn.cli.main import app, exit_code
from critlearn.cli.series_files import read_series
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

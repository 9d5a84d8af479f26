"""``critlearn fit`` as a user meets it."""

import gzip
import io
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer

from critlearn.cli.columns import read_columns
from critlearn.cli.fit import fit
from critlearn.cli.main import exit_code
from critlearn.inference import Criteria, fit_power_law
from reference.power_law_samples import clustered_power_law, power_law

VALUES = power_law(1.5, 1e-3, 1.0, 5000, 0)
NAMES = {"exponent", "stderr", "ci95", "window", "decades", "n", "retained", "ks", "p_value", "verdict", "alternatives"}

# The command by itself: how it is registered is for the program's own tests.
app = typer.Typer()
app.command()(fit)


def run(*arguments: str) -> int:
    return exit_code(app, [str(argument) for argument in arguments])


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(*arguments, "--json") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return json.loads(printed.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    values, cluster = clustered_power_law(1.5, 1e-3, 1.0, 250, 20, 0.8, 0)
    path = tmp_path / "table.csv"
    pd.DataFrame({"size": values, "event": [f"e{c}" for c in cluster], "weight": 1.0}).to_csv(path, index=False)
    return path


def files(folder: Path) -> list[Path]:
    np.save(folder / "a.npy", VALUES)
    np.savez(folder / "a.npz", size=VALUES)
    pd.DataFrame({"size": VALUES}).to_parquet(folder / "a.parquet")
    np.savetxt(folder / "bare.csv", VALUES, fmt="%.17g")
    np.savetxt(folder / "bare.txt", VALUES, fmt="%.17g", header="size, size\nof an event")
    pd.DataFrame({"size": VALUES}).to_csv(folder / "named.csv", index=False)
    for name in ("a.npy", "named.csv", "bare.txt"):
        with gzip.open(folder / f"{name}.gz", "wb") as packed:
            packed.write((folder / name).read_bytes())
    return sorted(folder.iterdir())


def test_every_kind_of_file_gives_the_same_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = [answer(capsys, str(path), "--window", "1e-3,1") for path in files(tmp_path)]
    assert len(answers) == 9
    assert all(found == answers[0] for found in answers)
    assert set(answers[0]) >= NAMES
    assert answers[0]["exponent"] == pytest.approx(1.5, abs=0.06)
    assert answers[0]["window"] == pytest.approx([1e-3, 1.0], rel=0.05)
    assert {item["name"] for item in answers[0]["alternatives"]} >= {"lognormal", "exponential"}


def test_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(f"{value:.17g}" for value in VALUES)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert answer(capsys, "-", "--window", "1e-3,1")["exponent"] == pytest.approx(1.5, abs=0.06)


def test_clusters_widen_the_error(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = (str(table), "--column", "size", "--window", "1e-3,1")
    naive, robust = answer(capsys, *common), answer(capsys, *common, "--cluster", "event")
    assert robust["stderr"] > 2 * naive["naive_stderr"]
    assert robust["exponent"] == pytest.approx(naive["exponent"], abs=1e-9)


def test_the_bootstrap_repeats_the_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = files(tmp_path)[0]
    found = answer(capsys, str(path), "--bootstrap", "20")
    assert found["selection_repeated"]
    # (1 + exceeding) / (1 + 20)
    assert found["p_value"] * 21 == pytest.approx(round(found["p_value"] * 21))


def test_one_screen_in_words(table: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plot = tmp_path / "out.svg"
    assert run(str(table), "--column", "size", "--plot", str(plot)) == 0
    shown = capsys.readouterr().out
    assert "delta^-1." in shown
    assert "lognormal" in shown
    assert len(shown.splitlines()) < 24
    assert plot.read_text(encoding="utf-8").lstrip().startswith("<?xml")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["out.svg", "table.csv"]


def test_integers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "z.npy", np.random.default_rng(0).zipf(2.5, 5000))
    found = answer(capsys, str(tmp_path / "z.npy"), "--discrete", "--side", "large", "--window", "1,1e6")
    assert found["exponent"] == pytest.approx(2.5, abs=4 * found["stderr"])


def test_few_values_have_an_estimate_and_one_size_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "few.npy", VALUES[:20])
    found = answer(capsys, str(tmp_path / "few.npy"))
    assert (found["verdict"], found["needed"]) == ("too few data", 50)
    assert found["exponent"] == pytest.approx(1.5, abs=4 * found["stderr"])
    np.save(tmp_path / "same.npy", np.full(100, 3.5))
    found = answer(capsys, str(tmp_path / "same.npy"))
    assert (found["verdict"], found["exponent"]) == ("too few data", None)
    assert not any(isinstance(value, float) and math.isnan(value) for value in found.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], "there is no file"),
        (["table.dat"], "none of the files that can be read"),
        (["table.npz.gz"], "none of the files that can be read"),
        (["table.csv"], "choose with --column"),
        (["table.csv", "--column", "siz"], 'did you mean "size"'),
        (["table.csv", "--column", "event"], "does not hold numbers"),
        (["table.csv", "--column", "size", "--window", "1"], "two numbers 0 < lo < hi"),
        (["table.csv", "--column", "size", "--window", "2,1"], "two numbers 0 < lo < hi"),
        (["table.csv", "--column", "size", "--window", "10,20"], "outside the data"),
        (["table.csv", "--column", "size", "--side", "large", "--window", "1e-2,0.1"], "--side large is a law to"),
        (["table.csv", "--column", "size", "--side", "lage"], 'did you mean "large"'),
        (["table.csv", "--column", "size", "--cluster", "evnt"], 'did you mean "event"'),
        (["table.csv", "--column", "size", "--bootstrap", "3"], "at least 10"),
        (["table.csv", "--column", "size", "--plot", "x.gif"], "writes .svg"),
        (["table.csv", "--column", "size", "--plot", "none/x.svg"], "there is no folder"),
        (["table.csv", "--column", "size", "--plot-kind", "qq"], "give both"),
        (["table.csv", "--column", "size", "--plot-kind", "cdf", "--plot", "x.svg"], 'did you mean "ccdf"'),
        (["table.csv", "--column", "size", "--window", "inf,inf"], "two numbers 0 < lo < hi"),
        (["table.csv", "--column", "size", "--window", "1e-2,inf", "--side", "small"], "--side small is a law down"),
        (["table.csv", "--column", "size", "--xmin", "1e-2", "--window", "1e-2,1"], "give one of them"),
        (["table.csv", "--column", "size", "--xmin", "-1"], "--xmin takes a number above 0"),
        (["table.csv", "--column", "size", "--xmin", "nan"], "--xmin takes a number above 0"),
        (["table.csv", "--column", "size", "--xmin", "9"], "outside the data"),
        (["table.csv", "--column", "size", "--discrete"], "integers"),
        (["none.txt.gz"], "there is no file"),
        (["broken.npy"], "cannot be read"),
        (["absurd.npy"], "it ends before its array does"),
        (["absurd.npy.gz"], "it ends before its array does"),
        (["broken.txt.gz"], "cannot be read: Not a gzipped file"),
        (["cut.txt.gz"], "cannot be read: Compressed file ended"),
        (["words.txt"], "does not hold numbers: 'b' in row 2"),
        (["comments.txt"], "is empty"),
        (["binary.txt"], "it is not text"),
        (["pickled.npy"], "holds Python objects"),
        (["cube.npy"], "shape (2, 3, 4)"),
        (["semicolons.csv"], "separated by commas or spaces"),
        (["negative.npy"], "choose --sign"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    message: str,
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    without_shape_checker: None,
) -> None:
    monkeypatch.chdir(table.parent)
    Path("broken.npy").write_bytes(b"\x93NUMPY broken")
    for name, opened in (("absurd.npy", open), ("absurd.npy.gz", gzip.open)):
        with opened(name, "wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)})
    Path("broken.txt.gz").write_text("1\n2\n")
    Path("cut.txt.gz").write_bytes(gzip.compress(b"1\n2\n" * 1000)[:-20])
    Path("words.txt").write_text("1\nb\n")
    Path("binary.txt").write_bytes(b"1\0\n2\n")
    Path("comments.txt").write_text("# no\n\n  # numbers\n")
    np.save("pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save("negative.npy", -VALUES)
    np.save("cube.npy", np.ones((2, 3, 4)))
    Path("semicolons.csv").write_text("size;event\n0,5;1\n")
    Path("table.dat").write_text("1\n2\n")
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_tables_keep_their_names(tmp_path: Path) -> None:
    np.save(tmp_path / "two.npy", np.ones((3, 2)))
    assert list(read_columns(str(tmp_path / "two.npy"))) == ["0", "1"]


def test_a_bad_cell_does_not_make_another_column_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sizes.csv"
    path.write_text("x,id\n" + "".join(f"{'oops' if i == 7 else 1 + i / 9},{i}\n" for i in range(1, 300)))
    assert exit_code(app, [str(path)]) == 2
    assert "2 columns (x, id): choose with --column" in capsys.readouterr().err
    assert exit_code(app, [str(path), "--column", "x"]) == 2
    assert "'oops' in row 7" in capsys.readouterr().err


def test_upper_case_suffixes_are_read(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "A.CSV", VALUES)
    assert list(read_columns(str(tmp_path / "A.CSV"))) == ["0"]


def test_binary_input_is_told_to_be_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for binary in (b"\xff\xfe1", b"1\x002"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(binary), encoding="utf-8"))
        assert run("-") == 2
        assert "standard input must be text" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["100000000", "99999999999999999999999"])
def test_replicates_are_counted_before_they_are_drawn(
    number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sizes.txt"
    np.savetxt(path, np.random.default_rng(0).pareto(1.0, 1000) + 1)
    assert run(str(path), "--bootstrap", number) == 2
    assert "replicates are too many: 100,000 give" in capsys.readouterr().err


def test_the_bootstrap_on_a_given_window_draws_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "a.npy", VALUES)
    found = answer(capsys, str(tmp_path / "a.npy"), "--window", "1e-3,1", "--bootstrap", "30")
    assert not found["selection_repeated"]
    assert found["p_value"] * 31 == pytest.approx(round(found["p_value"] * 31))


@pytest.mark.parametrize("rows", ["30", "100000"])
def test_a_pipe_that_nobody_reads_ends_quietly(rows: str) -> None:
    # Few rows stay in the buffer until the end, many are written at once.
    code = f"""
import typer
from critlearn.cli import main
app = typer.Typer()
@app.command()
def show() -> None:
    for row in range({rows}):
        typer.echo(row)
main.app = app
main.main()
"""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""


def test_the_help_names_the_criteria_that_are_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    words = " ".join(re.sub(r"[^\w.: -]", " ", capsys.readouterr().out).split())
    criteria = Criteria()
    assert f"0: {criteria.replicates} replicates" in words
    assert f"counts as none. default: {criteria.tolerance:g}" in words


def test_without_options_the_criteria_are_those_of_the_library(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", VALUES)
    found, expected = answer(capsys, str(tmp_path / "a.npy")), fit_power_law(VALUES)
    assert (found["p_value"], found["exponent"]) == (expected.p_value, expected.exponent)


def test_text_has_comments_and_columns_between_blanks_tabs_or_commas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "# size  event\n\n 1.5{0}2 # the first\n# size{0}size\n2.5{0}3\n"
    for separator in (" ", "\t", ",", ", "):
        path = tmp_path / "rows.txt"
        path.write_text(rows.format(separator))
        monkeypatch.setattr("sys.stdin", io.StringIO(rows.format(separator)))
        for found in (read_columns(str(path)), read_columns("-")):
            assert {name: column.tolist() for name, column in found.items()} == {"0": [1.5, 2.5], "1": [2.0, 3.0]}
    path.write_text("size\n1 # one\n2\n")
    assert read_columns(str(path))["size"].tolist() == [1, 2]


@pytest.mark.parametrize("separator", [" ", "\t", ",", ", "])
def test_numbers_in_one_line_are_a_sample(separator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    column, row = tmp_path / "column.txt", tmp_path / "row.txt"
    np.savetxt(column, VALUES)
    row.write_text("# sizes\n" + separator.join(map(repr, np.loadtxt(column).tolist())) + "\n\n")
    assert answer(capsys, str(row)) == answer(capsys, str(column))
    # A few numbers in one line are a table with one row.
    row.write_text(separator.join("1234567"))
    assert run(str(row)) == 2
    assert "7 columns" in capsys.readouterr().err


def test_archives_are_not_expanded_beyond_what_is_plausible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Whole members in a row: the size at the end of the file is that of the last one alone.
    monkeypatch.setattr("critlearn.reading.arrays.LARGEST_EXPANDED", 1 << 20)
    monkeypatch.setattr("critlearn.cli.columns.LARGEST_UNSEEN_TEXT", 1 << 20)
    for name in ("bomb.txt.gz", "bomb.csv.gz", "bomb.npy.gz"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(b"1\n" * (1 << 19)) + gzip.compress(b"1\n"))
        assert run(str(path)) == 2
        assert "expands to more than 1 MiB" in capsys.readouterr().err


def test_tables_of_many_equal_rows_are_not_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.DataFrame({"size": np.ones(100_000)}).to_parquet(tmp_path / "equal.parquet")
    monkeypatch.setattr("critlearn.reading.parquet.LARGEST_EXPANDED", 1 << 19)
    assert run(str(tmp_path / "equal.parquet")) == 2
    assert "100,000 rows take more than" in capsys.readouterr().err


def test_a_tail_from_a_lower_end_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tail.txt"
    np.savetxt(path, np.random.default_rng(0).pareto(1.5, 5000) + 1)
    tail, window = answer(capsys, str(path), "--xmin", "1"), answer(capsys, str(path), "--window", "1,inf")
    assert tail == window
    # Maximum likelihood with a known lower end, known in closed form.
    values = np.loadtxt(path)
    assert tail["exponent"] == pytest.approx(1 + values.size / np.log(values).sum(), abs=1e-3)
    assert tail["window"][0] == pytest.approx(1.0)


def test_integers_can_be_fitted_as_real_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "z.txt"
    np.savetxt(path, np.random.default_rng(0).zipf(2.5, 5000), fmt="%d")
    discrete = answer(capsys, str(path), "--discrete", "--xmin", "1")
    assert discrete["exponent"] == pytest.approx(2.5, abs=4 * discrete["stderr"])
    assert answer(capsys, str(path), "--continuous", "--xmin", "1")["exponent"] != discrete["exponent"]


def test_integers_are_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "z.txt"
    np.savetxt(path, np.random.default_rng(0).zipf(2.5, 5000))
    for arguments, noticed in (([], True), (["--discrete"], False), (["--continuous"], False)):
        assert run(str(path), *arguments) == 0
        assert ("hint         the values are integers, and so is the law" in capsys.readouterr().out) == noticed
    np.savetxt(path, 1000 * np.random.default_rng(0).zipf(2.5, 5000))
    assert run(str(path)) == 0
    assert "large ones, and the law is one on real numbers" in capsys.readouterr().out
    np.savetxt(path, VALUES)
    assert run(str(path)) == 0
    assert "hint" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["density", "ccdf", "local", "stability", "qq", "all"])
def test_every_kind_of_plot(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "a.npy", VALUES)
    plot = tmp_path / "out.svg"
    assert run(str(tmp_path / "a.npy"), "--window", "1e-3,1", "--plot", str(plot), "--plot-kind", kind) == 0
    axes = re.findall(r'<g id="axes_\d+">', plot.read_text(encoding="utf-8"))
    assert len(axes) == (5 if kind == "all" else 1)

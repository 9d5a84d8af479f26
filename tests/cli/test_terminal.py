"""What reaches the terminal: no commands to it, in signs that it takes, and one line where it takes none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.table import Table

from critlearn.cli.main import app, exit_code
from critlearn.cli.terminal import cleaned, draw, print_csv

PROGRAM = "import sys; from critlearn.cli.main import main; sys.argv = ['critlearn', *sys.argv[1:]]; main()"
HOSTILE = "a\x1b[31mred\x07\x08\x7f\x9b2J\u202eb\u2028c\r"


def printable(text: str) -> bool:
    return all(sign in "\n\t" or sign.isprintable() for sign in text)


def test_control_characters_are_written_out() -> None:
    assert cleaned(HOSTILE) == "a\\x1b[31mred\\x07\\x08\\x7f\\x9b2J\\u202eb\\u2028c\\x0d"
    # Every character that is said to control something, and none of those that stand for themselves.
    for code in range(sys.maxunicode + 1):
        sign = chr(code)
        if sign not in "\n\t" and (code < 32 or 127 <= code < 160):
            assert printable(cleaned(sign))
    assert cleaned("δ ∂ é 漢 🎲\t\n") == "δ ∂ é 漢 🎲\t\n"


def test_tables_are_cleaned_cell_by_cell(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(box=None)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    draw(table)
    told = capsys.readouterr().out
    assert printable(told)
    assert told.count("[31mred") == 2


def test_csv_is_as_it_is_for_programs_and_cleaned_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    print_csv(HOSTILE)
    assert capsys.readouterr().out == HOSTILE
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_csv(HOSTILE)
    assert printable(capsys.readouterr().out)


@pytest.mark.parametrize("command", [["fit"], ["dynamics"], ["run", "two-class", "--data"], ["fit", "--column", "c"]])
def test_names_of_columns_and_files_are_cleaned(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x\x1b]0;title\x07.csv"
    path.write_text("a\x1b[31mred\x07,b\nx,2\ny,3\n")
    assert exit_code(app, [*command, str(path)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert printable(told.err)
    assert "\\x1b" in told.err


def test_records_of_runs_are_cleaned(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(study, runs)
    for path in runs.glob("*/run.json"):
        text = path.read_text()
        for word in ('"statement": "', '"reason": "', '"data": "', '"verdict": "'):
            text = text.replace(word, word + "\\u001b[31m")
        path.write_text(text)
    names = sorted(path.parent.name for path in runs.glob("*/run.json"))
    for command in (["list"], ["show", names[0]], ["compare", *names[:2]]):
        assert exit_code(app, ["runs", *command, "--out", str(runs)]) == 0
        told = "".join(capsys.readouterr())
        assert printable(told)
    assert exit_code(app, ["runs", "show", names[0], "--out", str(runs)]) == 0
    assert "\\x1b[31m" in capsys.readouterr().out


def started(*arguments: str, settings: dict[str, str] | None = None, redirected: str = "") -> tuple[int, str, str]:
    """Code, output and errors of the program, started by a shell."""
    given = subprocess.run(
        ["/bin/sh", "-c", f'"$@" {redirected}', "sh", sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True, check=False, env={**os.environ, **(settings or {})}, timeout=100,
    )  # fmt: skip
    return given.returncode, given.stdout.decode(errors="replace"), given.stderr.decode(errors="replace")


@pytest.mark.parametrize("redirected", [">/dev/full", ">&-"])
def test_an_output_that_takes_nothing_is_told_in_one_line(redirected: str) -> None:
    code, _, told = started("design", "--exponent", "1.5", "--activation", "tanh", redirected=redirected)
    assert code == 1
    assert len(told.splitlines()) == 1
    assert "output" in told


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_signs_that_a_terminal_has_not_are_written_out(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "sizes-δ.csv"
    np.savetxt(path, np.random.default_rng(0).pareto(1.0, (1000, 2)) + 1, header="α,β漢", comments="", delimiter=",")
    code, told, problem = started(
        "dynamics", str(path), settings={"PYTHONIOENCODING": encoding, "OMP_NUM_THREADS": "1"}
    )
    assert (code, problem) == (0, "")
    assert "sizes-\\u03b4.csv" in told


def test_a_working_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    code = f"import os; os.chdir({str(tmp_path)!r}); os.rmdir({str(tmp_path)!r}); {PROGRAM}"
    given = subprocess.run([sys.executable, "-c", code, "table"], capture_output=True, text=True, check=False)
    assert given.returncode == 2
    assert "the working folder is gone" in given.stderr
    assert len(given.stderr.splitlines()) == 1


def test_input_that_is_closed_is_told() -> None:
    code, _, told = started("fit", "-", redirected="<&-")
    assert (code, told) == (2, "critlearn: standard input is closed\n")


@pytest.mark.parametrize("command", [["fit"], ["dynamics"], ["sweep"], ["runs", "show"], ["results"], ["report"]])
def test_names_that_no_file_may_have_are_told(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a" * 300 + ".csv", "/".join(["a" * 200] * 50) + ".npy", "a\0.csv"):
        assert exit_code(app, [*command, name]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert len(told.err.splitlines()) == 1


def test_code_that_ends_the_program_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ends.py"
    path.write_text(
        "import sys\n"
        "def data():\n    sys.exit(0)\n"
        "class Samples:\n"
        "    def __len__(self):\n        return 10\n"
        "    def __getitem__(self, index):\n        sys.exit('no')\n"
    )
    for name in ("sys:exit", f"{path}:data", f"{path}:Samples"):
        for command in (["run", "two-class", "--data", name], ["analyze", name, "--data", "moons"]):
            assert exit_code(app, command) == 2
            told = capsys.readouterr()
            assert told.out == ""
            assert name in told.err
            assert len(told.err.splitlines()) == 1


def test_any_other_end_of_the_program_names_who_raised_it(capsys: pytest.CaptureFixture[str]) -> None:
    def forward(*_: object, **__: object) -> None:
        sys.exit(0)

    assert exit_code(forward) == 2
    told = capsys.readouterr().err
    assert "ended by SystemExit(0), raised in" in told
    assert "forward" in told

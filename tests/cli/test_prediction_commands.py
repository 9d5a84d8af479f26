"""Commands predict, design and table: JSON, refusals, no torch."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from critlearn import __version__
from critlearn.cli.design import design
from critlearn.cli.predict import predict
from critlearn.cli.table import table
from critlearn.errors import InvalidInputError, OutputError

APP = typer.Typer()
for _command in (predict, design, table):
    APP.command()(_command)


def _json(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(APP, list(arguments), catch_exceptions=False)
    return json.loads(result.stdout, parse_constant=lambda name: pytest.fail(name))


def test_predict_gives_every_key() -> None:
    answer = _json("predict", "--activation", "softsign", "--loss", "mse", "--density", "uniform(-1,50)", "--json")
    assert answer["exact"] == "4/3"
    assert {"exponent", "exact", "fluctuations", "tail", "window", "decades", "caustics", "method"} <= set(answer)


def test_design_gives_every_key() -> None:
    answer = _json("design", "--exponent", "1.5", "--json")
    assert answer["exact"] == "3/2"
    assert {"exponent", "exact", "fluctuations", "tail", "window", "decades", "caustics", "method"} <= set(answer)


def test_design_makes_no_folder_for_its_plot(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        _json("design", "--exponent", "1.25", "--plot", str(tmp_path / "none" / "out.svg"))
    assert not (tmp_path / "none").exists()


def test_design_draws(tmp_path: object) -> None:
    figure = tmp_path / "out.svg"  # type: ignore[operator]
    _json("design", "--exponent", "1.25", "--plot", str(figure), "--json")
    assert figure.read_text().startswith("<?xml")
    with pytest.raises(InvalidInputError, match="--plot writes"):
        _json("design", "--exponent", "1.25", "--plot", "out.txt")


def test_table_of_one_activation() -> None:
    result = CliRunner().invoke(APP, ["table", "--activation", "softsign", "--format", "csv"], catch_exceptions=False)
    lines = result.stdout.splitlines()
    assert "softsign,mse,4/3,m^-3,margin -> inf" in "\n".join(lines)


@pytest.mark.parametrize(
    ("loss", "exponent", "tail"),
    [
        # Theory, composition table: kappa = q of m^-1/(q-1), and 1 + (t2-1)/(1+t2-t1) of m^-(1+t2-t1)/(t2-1).
        ("tempered-softmax:1.5", 1.5, "m^-2"),
        ("tempered-softmax:1", 1.0, "exp(-m)"),
        ("bi-tempered:0.5,1.5", 1.25, "m^-4"),
    ],
)
def test_tempered_losses_are_predicted(loss: str, exponent: float, tail: str) -> None:
    answer = _json("predict", "--loss", loss, "--json")
    assert (answer["composition"], answer["exponent"], answer["tail"]) == (loss, exponent, tail)
    assert {"exponent", "exact", "fluctuations", "tail", "window", "decades", "caustics", "method"} <= set(answer)
    assert _json("predict", "--activation", "softmax", "--loss", loss, "--json") == answer
    assert f"kappa = {answer['exact']}" in CliRunner().invoke(APP, ["predict", "--loss", loss]).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--loss", "bi-tempered:0.8"], "given with its temperatures, such as bi-tempered:0.8,1.3"),
        (["--loss", "tempered-softmax"], "given with its temperatures"),
        (["--loss", "tempered-softmax:x"], "given with its temperatures"),
        (["--loss", "tempered-softmax:7"], "temperature in"),
        (["--loss", "tempered-softmax:1.5", "--activation", "tanh"], "without --activation and --density"),
        (["--loss", "tempered-softmax:1.5", "--density", "normal(0,1)"], "without --activation and --density"),
    ],
)
def test_tempered_losses_that_do_not_fit_are_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        CliRunner().invoke(APP, ["predict", *arguments], catch_exceptions=False)


def test_softmax_is_predicted_by_its_margin() -> None:
    command = ["predict", "--activation", "softmax", "--loss", "cross-entropy", "--density", "uniform(0,20)", "--json"]
    answer, logistic = _json(*command), _json(*command[:1], *command[5:])
    assert answer["composition"] == "softmax+cross-entropy"
    assert answer["exact"] == "1"
    assert [answer[key] for key in ("window", "asymptotes")] == [logistic[key] for key in ("window", "asymptotes")]
    for arguments in (["--activation", "softmax"], ["--loss", "cross-entropy"]):
        (row,) = _json("table", *arguments, "--format", "json")["compositions"]  # type: ignore[misc]
        assert (row["activation"], row["loss"], row["exponent"]) == ("softmax", "cross-entropy", "1")
        # Where one of the two is given, the other goes with it, as in the table.
        assert _json("predict", *arguments, "--json")["composition"] == "softmax+cross-entropy"


def test_table_is_a_matrix_of_eighty_columns_and_has_a_long_form() -> None:
    printed = CliRunner().invoke(APP, ["table"], catch_exceptions=False).stdout
    assert max(map(len, printed.splitlines())) <= 80
    block = printed.split("\n\n")[0].splitlines()
    losses = block[0].split()
    rows = {line.split()[0]: dict(zip(losses, line.split()[1:], strict=True)) for line in block[1:]}
    # theory: softsign falls as 1/m, which gives 3/2 with binary cross-entropy and 4/3 with squares.
    assert (rows["softsign"]["bce"], rows["softsign"]["mse"], rows["identity"]["bce"]) == ("3/2", "4/3", "-")
    assert "cross-entropy" in printed
    long = CliRunner().invoke(APP, ["table", "--long"], catch_exceptions=False).stdout
    assert "…" not in long
    assert long.count("softsign") > len(losses)


def test_table_has_sixty_compositions() -> None:
    rows = _json("table", "--format", "json")["compositions"]
    assert len(rows) >= 60  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "--activation", "tahn(y)"],
        ["predict", "--density", "0.5*normal(0,1)"],
        ["predict", "--density", "normal(0,1)", "--lr", "nan"],
        ["predict", "--lr", "-1"],
        ["predict", "--activation", "identity", "--loss", "mse", "--target", "nan"],
        ["predict", "--activation", "identity", "--loss", "mse", "--target", "inf", "--density", "normal(0,1)"],
        ["predict", "--tolerance", "0"],
        ["design", "--exponent", "7"],
        ["table", "--activation", "softsing"],
        ["predict", "--activation", "softmax", "--loss", "mse"],
        ["predict", "--activation", "tanh", "--loss", "cross-entropy"],
        ["design", "--exponent", "1.5", "--activation", "softmax"],
    ],
)
def test_bad_input(arguments: list[str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        CliRunner().invoke(APP, arguments, catch_exceptions=False)
    assert "\n" not in str(caught.value)


def test_a_constant_is_told_as_such() -> None:
    with pytest.raises(InvalidInputError, match="got a constant"):
        CliRunner().invoke(APP, ["predict", "--activation", "y-y"], catch_exceptions=False)


def test_the_approach_is_told() -> None:
    # arctan with squared error: lambda = -3 ln m + O(m^-2); softsign: -3 ln(1 + m) throughout.
    for activation, approach in (("arctan", "O(m^-2)"), ("softsign", "exact")):
        told = CliRunner().invoke(APP, ["predict", "--activation", activation, "--loss", "mse"]).stdout
        assert f"(margin -> inf), approach {approach}\n" in told


def test_windows_below_the_smallest_float_have_logarithms() -> None:
    answer = _json("predict", "--activation", "tanh", "--loss", "mse", "--density", "uniform(0,1000)", "--json")
    window, logs = answer["window"], answer["log_window"]
    assert isinstance(window, list)
    assert isinstance(logs, list)
    # ln g = ln 8 - 4 y at y = 1000
    assert window[0] == 0.0
    assert logs[0] == pytest.approx(-4000, abs=5)
    assert answer["decades"] == pytest.approx((logs[1] - logs[0]) / math.log(10))


def test_predict_loads_no_torch() -> None:
    code = (
        "import sys; from critlearn.cli.predict import predict; from critlearn.cli.design import design;"
        "predict('tanh', 'mse', 'normal(0,1)', 1.0, 1.0, 0.05, True); design(1.5, as_json=True);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_sizes_beyond_the_largest_float_are_told_as_numbers() -> None:
    command = ["predict", "--activation", "erf(y**99)", "--loss", "mse", "--density", "uniform(-0.3,2.3)"]
    told = CliRunner().invoke(APP, command)
    assert told.exit_code == 0
    assert "= inf" not in told.output
    assert _json(*command, "--json")["exact"] == "1"


def test_the_package_is_the_program() -> None:
    done = subprocess.run([sys.executable, "-m", "critlearn", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, __version__)

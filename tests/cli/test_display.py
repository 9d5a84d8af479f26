"""What the program shows of results and of its options: whole headings, intervals, and no word eaten by markup."""

import pandas as pd
import pytest

from critlearn.cli.display import print_results
from critlearn.cli.main import app, exit_code
from critlearn.studies.sweep.results.table import COLUMNS


def row(**values: object) -> dict[str, object]:
    known = {"study": "s", "cell": "0123456789abcdef", "status": "finished", "equilibrium": "EQUILIBRIUM", "seed": 0}
    known |= {"quantity": "bias", "measured_exponent": 1.3254, "ci_low": 1.31, "ci_high": 1.34, "decades": 2.04}
    known |= {"predicted_exponent": 1.331, "verdict": "power law", "agreement": "agrees"}
    return {**dict.fromkeys(COLUMNS), **known, "loss": "mse", "activation": "tanh", **values}


def test_results_have_intervals_and_whole_headings(capsys: pytest.CaptureFixture[str]) -> None:
    failed = dict.fromkeys(("quantity", "measured_exponent", "ci_low", "ci_high", "decades", "equilibrium"))
    rows = [row(), row(activation="softsign"), row(activation="isru", status="failed", **failed)]
    print_results(pd.DataFrame(rows))
    same, headings, *lines = capsys.readouterr().out.splitlines()
    # What is the same in all rows is said once.
    assert same == "study: s, seed: 0, loss: mse"
    names = ["quantity", "k", "95% interval", "decades", "predicted", "agree", "verdict"]
    assert " ".join(headings.split()) == " ".join(names)
    assert lines[0] == "0123456789abcdef: EQUILIBRIUM, activation tanh"
    assert " ".join(lines[1].split()) == "bias 1.33 [1.31, 1.34] 2.0 1.33 agrees power law"
    assert lines[1].index("1.33") == headings.index("k ")
    # Of a cell that failed there is no quantity.
    assert lines[4:] == ["0123456789abcdef: failed, activation isru"]
    assert max(map(len, [same, headings, *lines])) <= 80


def test_help_names_extras(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(app, ["explore", "--help"]) == 0
    assert "critlearn[explore]" in capsys.readouterr().out

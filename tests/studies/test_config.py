"""Settings are checked before anything is computed, and refused in one line."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from critlearn.compositions import SoftmaxCrossEntropy
from critlearn.errors import InvalidInputError
from critlearn.studies import ToyConfig, TwoClassConfig
from critlearn.studies.config import checked, checked_device, parse_names, parse_widths, written_list


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.0}, r"--lr should be greater than 0; got 0\.0"),
        ({"lr": float("nan")}, "--lr .*got nan"),
        ({"lr": float("inf")}, "--lr .*got inf"),
        ({"epochs": 0}, "--epochs should be greater than or equal to 1; got 0"),
        ({"batch_size": -3}, "--batch-size .*got -3"),
        ({"weight_decay": -0.1}, r"--weight-decay .*got -0\.1"),
        (
            {"weight_decay": 1.0, "decoupled_weight_decay": True, "descent_steps": 1000},
            "--descent-steps .*plain descent has L2 decay",
        ),
        ({"seed": -1}, "--seed .*got -1"),
        ({"seed": 2**31}, "--seed"),
        ({"hidden": (32, 0)}, "--hidden .*got 0"),
        ({"hidden": (2,) * 101}, "--hidden .*at most 100 items"),
        ({"learning_rate": 0.1}, "--learning-rate .*not permitted"),
    ],
)
def test_settings_out_of_range_are_refused_by_the_name_of_their_option(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        checked(TwoClassConfig, settings)
    assert "\n" not in str(caught.value)


def test_the_toy_model_needs_a_thousand_samples() -> None:
    with pytest.raises(InvalidInputError, match=r"--samples .*1000; got 10"):
        checked(ToyConfig, {"samples": 10})


def test_settings_cannot_be_changed_later() -> None:
    config = checked(TwoClassConfig, {})
    with pytest.raises(ValueError, match="frozen"):
        config.lr = 3.0  # type: ignore[misc]


def test_widths() -> None:
    assert parse_widths("32,32") == (32, 32)
    assert parse_widths(" 8 ") == (8,)
    assert parse_widths("") == ()
    for text in ("a", "3,", "3,-2", "3;4", "0", "1.5"):
        with pytest.raises(InvalidInputError, match=r"--hidden needs widths as in 32,32"):
            parse_widths(text)


def test_names_of_columns_are_read_as_they_are_written() -> None:
    assert parse_names("id, age", "--drop") == ("id", "age")
    assert parse_names('"mass, kg",id', "--drop") == ("mass, kg", "id")
    assert parse_names("", "--drop") == ()
    names = ("a", "b c", "d,e", ' f"', "g'", "-h", "[i]")
    assert parse_names(written_list(names), "--columns") == names
    for text in (",", "a,,b", '"a', '"a"b'):
        with pytest.raises(InvalidInputError, match="--columns needs names of columns as in id,age"):
            parse_names(text, "--columns")


def test_a_step_takes_a_large_batch_but_not_all_samples() -> None:
    assert [TwoClassConfig().samples_in_step(samples) for samples in (60_000, 8000, 2000, 3)] == [2000, 2000, 500, 1]
    assert TwoClassConfig(batch_size=7).samples_in_step(60_000) == 7


def test_expressions_are_taken_as_names_are() -> None:
    typed = ToyConfig(activation="y/(1+abs(y))", loss="abs(e)**3").composition()
    assert typed.name == "y/(1+abs(y))+abs(e)**3"
    named = TwoClassConfig(activation="softsign", loss="power:3").composition()
    y = np.linspace(-40.0, 40.0, 81)
    np.testing.assert_allclose(typed.log_error_signal(y), named.log_error_signal(y), rtol=1e-12)  # type: ignore[union-attr]


def test_softmax_needs_two_outputs() -> None:
    assert TwoClassConfig(activation="softmax", loss="cross-entropy").composition() == SoftmaxCrossEntropy()
    with pytest.raises(InvalidInputError, match="--activation of the two-neuron model cannot be softmax"):
        checked(ToyConfig, {"activation": "softmax", "loss": "cross-entropy"})
    with pytest.raises(InvalidInputError, match=r'"softmax" .* goes with cross-entropy only'):
        TwoClassConfig(activation="softmax").composition()


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidInputError, match='unknown activation "softsing"; did you mean "softsign"'):
        TwoClassConfig(activation="softsing").composition()
    with pytest.raises(InvalidInputError, match=r'unknown loss "mce"; did you mean .*"mse"'):
        TwoClassConfig(loss="mce").composition()


def test_a_combination_without_sense_is_refused_with_what_fits() -> None:
    with pytest.raises(InvalidInputError, match=r'loss "bce" needs an activation that saturates.*use mse.*use sigmoid'):
        TwoClassConfig(activation="identity", loss="bce").composition()


def test_devices() -> None:
    assert checked_device("cpu").type == "cpu"
    for name in ("gpu", "abacus", "xpu:77"):
        with pytest.raises(InvalidInputError, match=f'device "{name}" is not available; available: cpu'):
            checked_device(name)


MODULE = """
import sympy as sp
from critlearn.compositions import ACTIVATIONS, Loss
from critlearn.compositions.loss import log_residual

mine = ACTIVATIONS["tanh"]

def made():
    return Loss("mine", sp.exp(3 * log_residual), sp.log(3) + 2 * log_residual)

def needy(p):
    return None

number = 4
"""


def test_objects_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users_own_loss.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    composition = TwoClassConfig(activation="users_own_loss:mine", loss="users_own_loss:made").composition()
    assert composition.name == "tanh+mine"
    # (1 - tanh)^2 sech^2 ~ exp(-6 m)
    assert composition.asymptotic().tail == "exp(-6 m)"
    for loss, message in (
        ("users_own_loss:number", "is a int, not a critlearn Loss"),
        ("users_own_loss:mine", "is a Activation, not a critlearn Loss"),
        ("users_own_loss:needy", "cannot be made: "),
        ("users_own_loss:mad", 'has no "mad"; did you mean "made"'),
        ("no_such_module_at_all:x", "cannot import"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            TwoClassConfig(activation="tanh", loss=loss).composition()
    sys.modules.pop("users_own_loss")

"""What the page of a run says: the command that repeats it, and only windows and exponents that are there."""

import shlex
from typing import Any

import pytest

from critlearn.cli import run as run_command
from critlearn.cli.main import app, exit_code
from critlearn.reports.page import command_of
from critlearn.studies import ToyConfig, TwoClassConfig
from critlearn.studies.config import RunConfig
from critlearn.studies.record import plain

CONFIGS = [
    ToyConfig(),
    ToyConfig(activation="softsign", loss="mse", inputs="normal(1, 1)", samples=4000, lr=1e-5, seed=7),
    ToyConfig(stop_at_equilibrium=False, data="a file's [name] & $more.csv", target="-class", weight_decay=0.25),
    TwoClassConfig(),
    TwoClassConfig(activation="tanh", loss="power:1.5", data="digits:3v8", hidden=(16, 8, 4), hidden_activation="relu"),
    TwoClassConfig(hidden=(), weight_variance=1e-3, stop_at_equilibrium=False, epochs=3, batch_size=7, device="cuda:0"),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.activation}-{config.loss}-{config.epochs}")
def test_the_command_of_a_page_makes_the_same_run(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    study = "toy" if isinstance(config, ToyConfig) else "two-class"
    command = command_of({"study": study, "config": plain(config.model_dump())})
    begun: list[RunConfig] = []

    def begin(_: Any, given: RunConfig, *__: Any, **___: Any) -> None:
        begun.append(given)

    monkeypatch.setattr(run_command, "_run", begin)
    program, *arguments = shlex.split(command)
    assert program == "critlearn"
    assert exit_code(app, arguments) == 0
    assert begun == [config]

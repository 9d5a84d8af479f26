"""The system of a stored run is rebuilt as it was."""

import math
from pathlib import Path

import pytest
import torch

from critlearn.studies import TwoClassConfig, run_two_class, write_run
from critlearn.studies.runs.system import load_system
from reference.small_runs import TWO_CLASS


def test_a_stored_run_starts_from_the_weights_that_it_was_given(tmp_path: Path) -> None:
    settings = {**TWO_CLASS, "hidden": (60, 60), "epochs": 1, "lr": 1e-9, "weight_variance": 9.0}
    record = write_run(tmp_path, run_two_class(TwoClassConfig(**settings)), lambda *_: "")
    system = load_system(Path(record["run_dir"]), record)
    # After steps of 1e-9 the trained weights are the initial ones.
    for name, value in system.trained.parameters.items():
        torch.testing.assert_close(system.initial.parameters[name], value, rtol=0.0, atol=1e-6)
    weights = system.initial.parameters["hidden2.weight"]
    # 3600 of them have variance 9 / 60, with a relative standard error of sqrt(2 / 3600).
    assert float(weights.detach().var()) == pytest.approx(9 / 60, rel=4 * math.sqrt(2 / 3600))

"""Settings of runs of a few seconds, and what comes out of them."""

from functools import cache
from typing import Any

from critlearn.analysis import Analysis
from critlearn.studies import ToyConfig, TwoClassConfig, run_toy, run_two_class
from shape_checker import switched_off

TWO_CLASS: dict[str, Any] = {
    "data": "moons", "epochs": 25, "hidden": (6,), "batch_size": 256, "lr": 0.02, "weight_decay": 0.0,
}  # fmt: skip
TOY: dict[str, Any] = {"samples": 20_000, "epochs": 40, "lr": 0.05, "batch_size": 2000}


@cache
def two_class_run() -> Analysis:
    """A network on moons."""
    with switched_off():
        return run_two_class(TwoClassConfig(**TWO_CLASS))


@cache
def toy_run() -> Analysis:
    """The two-neuron model."""
    with switched_off():
        return run_toy(ToyConfig(activation="softsign", loss="mse", **TOY))

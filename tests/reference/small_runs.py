"""Settings of runs of a few seconds."""

from typing import Any

TWO_CLASS: dict[str, Any] = {
    "data": "moons", "epochs": 25, "hidden": (6,), "batch_size": 256, "lr": 0.02, "weight_decay": 0.0,
}  # fmt: skip
TOY: dict[str, Any] = {"samples": 20_000, "epochs": 40, "lr": 0.05, "batch_size": 2000}

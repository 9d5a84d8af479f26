"""The part that all studies share: from a system at equilibrium to tested and compared quantities."""

import time
from collections.abc import Mapping
from typing import Any

import torch

from critlearn.comparison import compare
from critlearn.environment import versions
from critlearn.equilibrium import Approach
from critlearn.fluctuations import measure
from critlearn.inference import fit_power_law
from critlearn.prediction import Prediction
from critlearn.results import plain
from critlearn.studies.config import RunConfig
from critlearn.studies.record import (
    RunResult,
    composition_record,
    detached_weights,
    equilibrium_record,
    quantity_record,
)

_BATCH_VALUES = 4_000_000
"""Fluctuations held at once."""


def conclude(
    study: str,
    config: RunConfig,
    approach: Approach,
    predictions: Mapping[str, Prediction],
    subjects: Mapping[str, str],
    *,
    started: float,
    details: Mapping[str, Any],
) -> RunResult:
    """Measure every quantity, fit it, hold it against its prediction, and write the record.

    Parameters
    ----------
    study, config
        Name and settings of the study.
    approach
        The trained system with its certificate.
    predictions
        By name of the quantity, where there is one.
    subjects
        What fluctuates, in words, by name of the quantities that are to be reported.
    started
        `time.perf_counter` at the start of the run.
    details
        Further entries of the record.
    """
    system = approach.system
    variables = sum(value.numel() for value in system.parameters.values())
    fluctuations = measure(system, batch_size=max(1, min(65536, _BATCH_VALUES // variables)))
    quantities = {}
    for name, subject in subjects.items():
        fit = fit_power_law(fluctuations[name], seed=config.seed, log_floor=fluctuations.log_floor)
        prediction = predictions.get(name)
        verdict = compare(subject, fit, prediction)
        entry = quantity_record(fluctuations.axis(name), fit, prediction, verdict)
        if not approach.certificate.certified:
            entry["statement"] += f" Not at local learning equilibrium: {approach.certificate.status}."
        quantities[name] = entry
    record = {
        "study": study,
        "run_dir": None,
        "config": config.model_dump(),
        "versions": versions(),
        "seed": config.seed,
        "seconds": time.perf_counter() - started,
        "equilibrium": equilibrium_record(approach),
        "accuracy": _accuracy(approach),
        "composition": composition_record(config.composition()),
        "resolution_floor": fluctuations.log_floor,
        "floor_reference": fluctuations.floor_reference,
        **details,
        "quantities": quantities,
    }
    return RunResult(plain(record), fluctuations, detached_weights(system.model))


@torch.no_grad()
def _accuracy(approach: Approach) -> float:
    """Share of the samples on the right side."""
    right = 0
    for x, t in approach.system.boundary(65536):
        y, target = approach.system.forward(x, t)
        right += int((y * torch.where(target > 0, 1.0, -1.0) > 0).sum())
    return right / len(approach.system)

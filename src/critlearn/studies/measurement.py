"""The road of every study: data, system, equilibrium, measurement, and quantities held against their predictions."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import torch
from torch import nn

from critlearn.comparison import compare
from critlearn.compositions.named.resolve import margin_composition
from critlearn.environment import versions
from critlearn.equilibrium import Approach, equilibrate
from critlearn.equilibrium.approach import Progress
from critlearn.fluctuations import Fluctuations, measure
from critlearn.inference import fit_power_law
from critlearn.network import NeuralSystem
from critlearn.prediction import Prediction
from critlearn.results import plain
from critlearn.studies.config import RunConfig, checked_device
from critlearn.studies.datasets.class_data import ClassData
from critlearn.studies.record import (
    RunResult,
    composition_record,
    detached_weights,
    equilibrium_record,
    quantity_record,
)

_BATCH_VALUES: Final = 4_000_000
"""Fluctuations held at once: 32 MB."""

_BATCH: Final = 65536
"""Samples passed at once: more makes small networks no faster."""

Config = TypeVar("Config", bound=RunConfig)


class Expectation(NamedTuple):
    """What a study knows of a trained system before its fluctuations are measured.

    Parameters
    ----------
    predictions
        By name of the quantity, where there is one.
    subjects
        What fluctuates, in words, by name of the quantities that are to be reported.
    details
        Further entries of the record.
    """

    predictions: Mapping[str, Prediction]
    subjects: Mapping[str, str]
    details: Mapping[str, Any]


def run_study(
    study: str,
    config: Config,
    *,
    data: Callable[[Config], ClassData],
    network: Callable[[Config, ClassData], nn.Module],
    expectation: Callable[[Config, ClassData, Approach], Expectation],
    progress: Progress | None = None,
) -> RunResult:
    """Train a network to equilibrium, measure its fluctuations and compare them with their prediction.

    Parameters
    ----------
    study, config
        Name and settings of the study.
    data
        Loads the data set.
    network
        Makes the network for a data set.
    expectation
        Predicts, from the trained system.
    progress
        Called after every epoch of training.

    Raises
    ------
    CritlearnError
        If a setting cannot be used or the data cannot be read.
    """
    started = time.perf_counter()
    composition = config.composition()
    device = checked_device(config.device)
    dataset = data(config)
    approach = equilibrate(
        NeuralSystem(network(config, dataset).to(device), composition, dataset.boundary(composition)),
        epochs=config.epochs,
        batch_size=config.samples_in_step(len(dataset)),
        lr=config.lr,
        weight_decay=config.weight_decay,
        seed=config.seed,
        stop_at_equilibrium=config.stop_at_equilibrium,
        progress=progress,
    )
    expected = expectation(config, dataset, approach)
    system = approach.system
    variables = sum(value.numel() for value in system.parameters.values())
    fluctuations = measure(system, batch_size=max(1, min(_BATCH, _BATCH_VALUES // variables)))
    record = {
        "study": study,
        "run_dir": None,
        "config": config.model_dump(),
        "versions": versions(),
        "seed": config.seed,
        "seconds": None,
        "equilibrium": equilibrium_record(approach),
        "accuracy": _accuracy(approach),
        "composition": composition_record(margin_composition(composition)),
        "resolution_floor": fluctuations.log_floor,
        "floor_reference": fluctuations.floor_reference,
        "data": dataset.source,
        **expected.details,
        "quantities": _quantities(config, approach, fluctuations, expected),
    }
    record["seconds"] = time.perf_counter() - started
    return RunResult(plain(record), fluctuations, detached_weights(system.model))


def _quantities(
    config: RunConfig, approach: Approach, fluctuations: Fluctuations, expected: Expectation
) -> dict[str, Any]:
    """Record of every quantity: its fit, held against its prediction."""
    quantities = {}
    for name, subject in expected.subjects.items():
        fit = fit_power_law(fluctuations[name], seed=config.seed, log_floor=fluctuations.log_floor)
        prediction = expected.predictions.get(name)
        verdict = compare(subject, fit, prediction, state=approach.certificate.status)
        quantities[name] = quantity_record(fluctuations.axis(name), fit, prediction, verdict)
    return quantities


@torch.no_grad()
def _accuracy(approach: Approach) -> float:
    """Share of the samples on the right side."""
    system, right = approach.system, 0
    for x, t in system.boundary(_BATCH):
        y, target = system.forward(x, t)
        if system.loss.class_targets:
            right += int((y.argmax(dim=1) == target).sum())
        else:
            right += int((y * torch.where(target > 0, 1.0, -1.0) > 0).sum())
    return right / len(system)

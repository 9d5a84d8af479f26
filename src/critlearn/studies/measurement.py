"""Training of every study: data and network to equilibrium, from where the road is that of every analysis."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from torch import nn

from critlearn.analysis import Analysis
from critlearn.analysis.road import Heading, walk
from critlearn.equilibrium import Approach, equilibrate
from critlearn.equilibrium.approach import Progress
from critlearn.network import NeuralSystem
from critlearn.prediction import Prediction
from critlearn.results import plain
from critlearn.studies.config import RunConfig, checked_device
from critlearn.studies.datasets.class_data import ClassData
from critlearn.studies.over_time import follow_over_time

Config = TypeVar("Config", bound=RunConfig)

Knowledge = tuple[Mapping[str, Prediction] | None, Mapping[str, Any]]
"""Exact predictions by name of the quantity, None where they are made from the network's state; and further entries of
the record."""


def run_study(
    study: str,
    config: Config,
    *,
    data: Callable[[Config], ClassData],
    network: Callable[[Config, ClassData], nn.Module],
    knowledge: Callable[[Config, ClassData, Approach], Knowledge],
    progress: Progress | None = None,
) -> Analysis:
    """Train a network to equilibrium, measure its fluctuations and compare them with their prediction.

    Parameters
    ----------
    study, config
        Name and settings of the study.
    data
        Loads the data set.
    network
        Makes the network for a data set.
    knowledge
        What the study knows of a trained system before its fluctuations are measured.
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
    system = NeuralSystem(network(config, dataset).to(device), composition, dataset.boundary(composition))
    return trained_and_measured(
        study,
        config,
        system,
        dataset.source,
        knowledge=lambda approach: knowledge(config, dataset, approach),
        progress=progress,
        started=started,
    )


def trained_and_measured(
    study: str,
    config: RunConfig,
    system: NeuralSystem,
    source: str,
    *,
    knowledge: Callable[[Approach], Knowledge] = lambda approach: (None, {}),
    progress: Progress | None = None,
    started: float,
) -> Analysis:
    """Train a system to equilibrium, measure its fluctuations and compare them with their prediction.

    Parameters
    ----------
    study, config
        Name and settings of the study.
    system
        System with the initial weights.
    source
        Origin of the data in words.
    knowledge
        What the study knows of the trained system before its fluctuations are measured.
    progress
        Called after every epoch of training.
    started
        Time on `time.perf_counter` at which the run began.

    Raises
    ------
    CritlearnError
        If a setting cannot be used.
    """
    approach = equilibrate(
        system,
        epochs=config.epochs,
        batch_size=config.samples_in_step(len(system)),
        lr=config.lr,
        weight_decay=config.weight_decay,
        decoupled_weight_decay=config.decoupled_weight_decay,
        seed=config.seed,
        stop_at_equilibrium=config.stop_at_equilibrium,
        progress=progress,
    )
    predictions, details = knowledge(approach)
    analysis = walk(
        approach.system,
        Heading(study, source, config.model_dump(), config.seed, details),
        approach.certificate,
        losses=approach.losses,
        predictions=predictions,
        modes=config.modes,
        started=started,
    )
    if not config.descent_steps:
        return analysis
    training, found = follow_over_time(approach.system, config)
    record = {**analysis.record, "over_time": plain(found), "seconds": time.perf_counter() - started}
    return replace(analysis, record=record, training=training)

"""Studies of a dense network on data of two classes or more, where the prediction uses the network's own margins."""

from typing import Final

import torch
from torch import Tensor, nn

from critlearn.analysis import Analysis
from critlearn.analysis.sides import margins_of
from critlearn.equilibrium import Approach
from critlearn.equilibrium.approach import Progress
from critlearn.network import NeuralSystem, draw_gaussian_weights, feed_forward
from critlearn.studies.config import ClassesConfig, DenseConfig, TwoClassConfig
from critlearn.studies.datasets.class_data import ClassData
from critlearn.studies.datasets.loading import load_data
from critlearn.studies.measurement import Knowledge, run_study

_BATCH: Final = 4096
"""Samples passed through the network at once: it bounds the memory for hidden activities, not what is computed."""


def run_two_class(config: TwoClassConfig, progress: Progress | None = None) -> Analysis:
    """Train a network to equilibrium, measure its fluctuations and compare them with what its margins predict.

    Raises
    ------
    CritlearnError
        If a setting cannot be used or the data cannot be read.
    """
    return _run("two-class", config, progress)


def run_classes(config: ClassesConfig, progress: Progress | None = None) -> Analysis:
    """Train a network with an output for each class to equilibrium, and measure its fluctuations.

    Raises
    ------
    CritlearnError
        If a setting cannot be used or the data cannot be read.
    """
    return _run("classes", config, progress)


def _run(study: str, config: DenseConfig, progress: Progress | None) -> Analysis:
    return run_study(study, config, data=samples_of, network=initial_network, knowledge=_knowledge, progress=progress)


def samples_of(config: DenseConfig) -> ClassData:
    """Data set of a run."""
    dataset = load_data(config.data, target=config.target, columns=config.columns, drop=config.drop, seed=config.seed)
    if isinstance(config, TwoClassConfig):
        dataset.require_two_classes()
    return dataset


def initial_network(config: DenseConfig, dataset: ClassData) -> nn.Sequential:
    """Network that a run starts from: one output, or for softmax one for each class."""
    outputs = dataset.classes if config.composition().class_targets else 1
    model = feed_forward(dataset.x.shape[1], config.hidden, config.hidden_activation, seed=config.seed, outputs=outputs)
    if config.weight_variance is not None:
        draw_gaussian_weights(model, config.weight_variance, seed=config.seed)
    return model


def system_of(config: DenseConfig, dataset: ClassData, model: nn.Module) -> NeuralSystem:
    """System of a run with a network of the run's shape."""
    composition = config.composition()
    return NeuralSystem(model, composition, dataset.boundary(composition))


def _knowledge(config: DenseConfig, dataset: ClassData, approach: Approach) -> Knowledge:
    """Names of the classes and range of the margins; predictions are made from the network's state."""
    margins = _margins(approach.system)
    spread = {"least": margins.min(), "median": margins.median(), "greatest": margins.max()}
    details = {
        "class_names": list(dataset.class_names),
        "margins": {name: float(value) for name, value in spread.items()},
    }
    return None, details


@torch.no_grad()
def _margins(system: NeuralSystem) -> Tensor:
    """Margins of all samples."""
    found = [margins_of(system.loss, *system.forward(x, t)) for x, t in system.boundary(_BATCH)]
    return torch.cat([margins for margins in found if margins is not None])

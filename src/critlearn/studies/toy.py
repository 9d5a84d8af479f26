"""Study of the two-neuron model ``y = w x + b``, where the prediction is exact."""

import numpy as np
import torch
from torch import nn

from critlearn.analysis import Analysis
from critlearn.compositions.named.resolve import margin_composition
from critlearn.equilibrium import Approach
from critlearn.equilibrium.approach import Progress
from critlearn.errors import InvalidInputError
from critlearn.prediction import InputDensity, Prediction, parse_density, predict_toy, predict_toy_from_data
from critlearn.studies.config import ToyConfig
from critlearn.studies.datasets.class_data import ClassData
from critlearn.studies.datasets.loading import load_data
from critlearn.studies.measurement import Knowledge, run_study


def run_toy(config: ToyConfig, progress: Progress | None = None) -> Analysis:
    """Train the two-neuron model to equilibrium, measure its fluctuations and compare them with their prediction.

    Raises
    ------
    CritlearnError
        If a setting cannot be used.
    """
    return run_study("toy", config, data=_data, network=_two_neurons, knowledge=_knowledge, progress=progress)


def drawn_classes(inputs: InputDensity, samples: int, seed: int) -> ClassData:
    """Draw both classes with equal probability: the input from the density for +1, from its mirror image for -1."""
    generator = np.random.default_rng(seed)
    t = np.where(generator.random(samples) < 0.5, 1.0, -1.0)
    x = inputs.sample(samples, generator) * t
    source = f"{samples:,} draws of x from {inputs} for the class +1, mirrored for the class -1"
    labels = torch.from_numpy((t > 0).astype(np.int64))
    return ClassData(torch.from_numpy(x[:, None]), labels, str(inputs), ("-1", "+1"), source)


def _data(config: ToyConfig) -> ClassData:
    """Draws from the density of the inputs, or a user's data, which must have one feature."""
    if config.data is None:
        return drawn_classes(parse_density(config.inputs), config.samples, config.seed)
    dataset = load_data(config.data, target=config.target, columns=config.columns, drop=config.drop, seed=config.seed)
    if dataset.x.shape[1] != 1:
        raise InvalidInputError(
            f'the toy model has one input; "{config.data}" has {dataset.x.shape[1]} features: use `run two-class`'
        )
    dataset.require_two_classes()
    return dataset


def _two_neurons(config: ToyConfig, dataset: ClassData) -> nn.Linear:
    """One input, one output; the global random state is left untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return nn.Linear(dataset.x.shape[1], 1, dtype=torch.float64)


def _knowledge(config: ToyConfig, dataset: ClassData, approach: Approach) -> Knowledge:
    """Exact predictions, from the weight and the bias that were reached."""
    reached = {name: float(approach.system.parameters[name].detach()) for name in ("weight", "bias")}
    return _predictions(config, dataset, **reached), reached


def _predictions(config: ToyConfig, dataset: ClassData, weight: float, bias: float) -> dict[str, Prediction]:
    """Predictions for weight and bias; none where the composition has the same error everywhere."""
    composition = margin_composition(config.composition())
    if all(one.exponent is None for t in (1, -1) for one in composition.asymptotes(t)):
        return {}
    if config.data is None:
        return predict_toy(composition, parse_density(config.inputs), weight, bias)
    return predict_toy_from_data(composition, dataset.x[:, 0].numpy(), dataset.signs.numpy(), weight, bias)

"""Study of the two-neuron model ``y = w x + b``, where the prediction is exact."""

import time

import numpy as np
import torch
from torch import nn

from critlearn.compositions import Composition
from critlearn.equilibrium import Approach, equilibrate
from critlearn.equilibrium.approach import Progress
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from critlearn.prediction import InputDensity, Prediction, parse_density, predict_toy, predict_toy_from_data
from critlearn.studies.config import ToyConfig, checked_device
from critlearn.studies.datasets.two_class_data import TwoClassData, load_two_class
from critlearn.studies.measurement import conclude
from critlearn.studies.record import RunResult

SUBJECTS = {"bias": "the bias", "weight": "the weight"}


def run_toy(config: ToyConfig, progress: Progress | None = None) -> RunResult:
    """Train the two-neuron model to equilibrium, measure its fluctuations and compare them with their prediction.

    Raises
    ------
    CritlearnError
        If a setting cannot be used.
    """
    started = time.perf_counter()
    composition = config.composition()
    device = checked_device(config.device)
    inputs = None if config.data is not None else parse_density(config.inputs)
    dataset = _observed(config) if inputs is None else drawn_classes(inputs, config.samples, config.seed)
    system = NeuralSystem(_two_neurons(config.seed).to(device), composition, dataset)
    approach = equilibrate(
        system,
        epochs=config.epochs,
        batch_size=config.batch_size,
        lr=config.lr,
        weight_decay=config.weight_decay,
        seed=config.seed,
        stop_at_equilibrium=config.stop_at_equilibrium,
        progress=progress,
    )
    details = {"weight": _value(approach, "weight"), "bias": _value(approach, "bias"), "data": dataset.source}
    predictions = _predictions(composition, approach, inputs, dataset)
    return conclude("toy", config, approach, predictions, SUBJECTS, started=started, details=details)


def drawn_classes(inputs: InputDensity, samples: int, seed: int) -> TwoClassData:
    """Draw both classes with equal probability: the input from the density for +1, from its mirror image for -1."""
    generator = np.random.default_rng(seed)
    t = np.where(generator.random(samples) < 0.5, 1.0, -1.0)
    x = inputs.sample(samples, generator) * t
    source = f"{samples:,} draws of x from {inputs} for the class +1, mirrored for the class -1"
    return TwoClassData(
        torch.from_numpy(x[:, None]), torch.from_numpy(t), name=str(inputs), class_names=("-1", "+1"), source=source
    )


def _observed(config: ToyConfig) -> TwoClassData:
    """A user's data, which must have one feature."""
    dataset = load_two_class(str(config.data), target=config.target, seed=config.seed)
    if dataset.x.shape[1] != 1:
        raise InvalidInputError(
            f'the toy model has one input; "{config.data}" has {dataset.x.shape[1]} features: use `run two-class`'
        )
    return dataset


def _two_neurons(seed: int) -> nn.Linear:
    """One input, one output; the global random state is left untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(1, 1, dtype=torch.float64)


def _value(approach: Approach, name: str) -> float:
    return float(approach.system.parameters[name].detach())


def _predictions(
    composition: Composition, approach: Approach, inputs: InputDensity | None, dataset: TwoClassData
) -> dict[str, Prediction]:
    """Predictions for weight and bias; none where the composition has the same error everywhere."""
    if all(one.exponent is None for t in (1, -1) for one in composition.asymptotes(t)):
        return {}
    weight, bias = _value(approach, "weight"), _value(approach, "bias")
    if inputs is not None:
        return predict_toy(composition, inputs, weight, bias)
    return predict_toy_from_data(composition, dataset.x[:, 0].numpy(), dataset.t.numpy(), weight, bias)

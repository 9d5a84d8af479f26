"""Study of a dense network on two-class data, where the prediction uses the network's own margins."""

import time

import torch
from torch import nn

from critlearn.compositions import Composition
from critlearn.equilibrium import Approach, equilibrate
from critlearn.equilibrium.approach import Progress
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import POOLED
from critlearn.network import NeuralSystem, draw_gaussian_weights, feed_forward
from critlearn.numerics.log_sketch import LogSketch
from critlearn.prediction import Prediction, predict_from_outputs, predict_product
from critlearn.studies.config import TwoClassConfig, checked_device
from critlearn.studies.datasets.two_class_data import load_two_class
from critlearn.studies.measurement import conclude
from critlearn.studies.record import RunResult


def run_two_class(config: TwoClassConfig, progress: Progress | None = None) -> RunResult:
    """Train a network to equilibrium, measure its fluctuations and compare them with what its margins predict.

    Raises
    ------
    CritlearnError
        If a setting cannot be used or the data cannot be read.
    """
    started = time.perf_counter()
    composition = config.composition()
    device = checked_device(config.device)
    dataset = load_two_class(config.data, target=config.target, seed=config.seed)
    approach = equilibrate(
        NeuralSystem(initial_network(config, dataset.x.shape[1]).to(device), composition, dataset),
        epochs=config.epochs,
        batch_size=config.batch_size,
        lr=config.lr,
        weight_decay=config.weight_decay,
        seed=config.seed,
        stop_at_equilibrium=config.stop_at_equilibrium,
        progress=progress,
    )
    outputs, targets, activities = _output_state(approach)
    predictions = _predictions(composition, outputs, targets, activities)
    details = {
        "data": dataset.source,
        "class_names": list(dataset.class_names),
        "margins": dict(zip(("least", "median", "greatest"), _range(outputs * targets), strict=True)),
    }
    return conclude("two-class", config, approach, predictions, _subjects(approach), started=started, details=details)


def initial_network(config: TwoClassConfig, inputs: int) -> nn.Sequential:
    """Network that a run starts from, for so many inputs."""
    model = feed_forward(inputs, config.hidden, config.hidden_activation, seed=config.seed)
    if config.weight_variance is not None:
        draw_gaussian_weights(model, config.weight_variance, seed=config.seed)
    return model


def _subjects(approach: Approach) -> dict[str, str]:
    """What fluctuates, in words, from the output backwards, and the pool of all."""
    names = list(approach.system.parameters)[::-1]
    kinds = {"weight": "weights", "bias": "biases"}
    subjects = {}
    for name in names:
        layer, _, kind = name.rpartition(".")
        subjects[name] = "the output bias" if name == "output.bias" else f"{kinds[kind]} of {layer}"
    return {**subjects, POOLED: "all trainable variables"}


@torch.no_grad()
def _output_state(approach: Approach) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pre-activations of the output and targets of all samples, and the activities that the output weights see."""
    outputs, targets, activities = [], [], []
    for x, t in approach.system.boundary(4096):
        before = approach.system.model[:-1](x)  # type: ignore[index]
        y, target = approach.system.forward(x, t)
        outputs.append(y.flatten())
        targets.append(target.expand_as(y).flatten())
        activities.append(before.abs().flatten())
    return torch.cat(outputs).cpu(), torch.cat(targets).cpu(), torch.cat(activities).cpu()


def _predictions(
    composition: Composition, outputs: torch.Tensor, targets: torch.Tensor, activities: torch.Tensor
) -> dict[str, Prediction]:
    """Predictions for the output layer; none where the outputs do not spread or the error is the same everywhere."""
    try:
        bias = predict_from_outputs(composition, outputs.double().numpy(), targets.double().numpy())
        weight = predict_product(bias, LogSketch.from_values(activities.numpy()))
    except InvalidInputError:
        return {}
    return {"output.bias": bias, "output.weight": weight}


def _range(values: torch.Tensor) -> list[float]:
    return [float(values.min()), float(values.median()), float(values.max())]

"""Studies of a dense network on data of two classes or more, where the prediction uses the network's own margins."""

from typing import Final

import torch
from torch import Tensor, nn

from critlearn.compositions import SoftmaxCrossEntropy
from critlearn.compositions.named.resolve import margin_composition
from critlearn.compositions.output_loss import OutputLoss
from critlearn.equilibrium import Approach
from critlearn.equilibrium.approach import Progress
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import POOLED
from critlearn.network import NeuralSystem, draw_gaussian_weights, feed_forward
from critlearn.numerics.log_sketch import LogSketch
from critlearn.prediction import Prediction, predict_from_margins, predict_from_outputs, predict_product
from critlearn.studies.config import ClassesConfig, DenseConfig, TwoClassConfig
from critlearn.studies.datasets.class_data import ClassData
from critlearn.studies.datasets.loading import load_data
from critlearn.studies.measurement import Expectation, run_study
from critlearn.studies.record import RunResult

_BATCH: Final = 4096
"""Samples passed through the network at once: it bounds the memory for hidden activities, not what is computed."""


def run_two_class(config: TwoClassConfig, progress: Progress | None = None) -> RunResult:
    """Train a network to equilibrium, measure its fluctuations and compare them with what its margins predict.

    Raises
    ------
    CritlearnError
        If a setting cannot be used or the data cannot be read.
    """
    return run_study(
        "two-class", config, data=samples_of, network=initial_network, expectation=_expectation, progress=progress
    )


def run_classes(config: ClassesConfig, progress: Progress | None = None) -> RunResult:
    """Train a network with an output for each class to equilibrium, and measure its fluctuations.

    Raises
    ------
    CritlearnError
        If a setting cannot be used or the data cannot be read.
    """
    return run_study(
        "classes", config, data=samples_of, network=initial_network, expectation=_expectation, progress=progress
    )


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


def _expectation(config: DenseConfig, dataset: ClassData, approach: Approach) -> Expectation:
    """Predictions for the output layer, from the network's own margins and activities."""
    outputs, targets, activities = _output_state(approach.system)
    loss = approach.system.loss
    margins = loss.margins(outputs, targets) if isinstance(loss, SoftmaxCrossEntropy) else (outputs * targets).flatten()
    details = {
        "class_names": list(dataset.class_names),
        "margins": dict(zip(("least", "median", "greatest"), _range(margins), strict=True)),
    }
    predictions = _predictions(loss, outputs, targets, margins, activities)
    return Expectation(predictions, _subjects(approach.system), details)


def _subjects(system: NeuralSystem) -> dict[str, str]:
    """What fluctuates, in words, from the output backwards, and the pool of all."""
    kinds = {"weight": "weights", "bias": "biases"}
    subjects = {}
    for name, variable in reversed(system.parameters.items()):
        layer, _, kind = name.rpartition(".")
        single = name == "output.bias" and variable.numel() == 1
        subjects[name] = "the output bias" if single else f"{kinds[kind]} of {layer}"
    return {**subjects, POOLED: "all trainable variables"}


@torch.no_grad()
def _output_state(system: NeuralSystem) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs and targets of all samples, and the sizes of the activities that the output weights see."""
    outputs, targets, activities = [], [], []
    for x, t in system.boundary(_BATCH):
        before = system.model[:-1](x)  # type: ignore[index]
        y, target = system.forward(x, t)
        outputs.append(y)
        targets.append(target)
        activities.append(before.abs().flatten())
    return torch.cat(outputs).cpu(), torch.cat(targets).cpu(), torch.cat(activities).cpu()


def _predictions(
    loss: OutputLoss, outputs: Tensor, targets: Tensor, margins: Tensor, activities: Tensor
) -> dict[str, Prediction]:
    """Predictions for the output layer.

    There are none where the outputs do not spread, where the error is the same everywhere, or for more than two
    classes: then the error of the true class is not the size of the others.
    """
    if outputs.shape[-1] > 2:
        return {}
    try:
        if isinstance(loss, SoftmaxCrossEntropy):
            # Of two classes both errors have the size of the true one's.
            bias = predict_from_margins(margin_composition(loss), margins.double().numpy())
        else:
            y, t = (values.flatten().double().numpy() for values in (outputs, targets))
            bias = predict_from_outputs(loss, y, t)  # type: ignore[arg-type]
        weight = predict_product(bias, LogSketch.from_values(activities.numpy()))
    except InvalidInputError:
        return {}
    return {"output.bias": bias, "output.weight": weight}


def _range(values: Tensor) -> list[float]:
    return [float(values.min()), float(values.median()), float(values.max())]

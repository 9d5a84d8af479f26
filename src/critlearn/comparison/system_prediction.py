"""Prediction for a trained network from its own margins, activities and back-propagated factors."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from critlearn.compositions import SoftmaxCrossEntropy, TokenCrossEntropy
from critlearn.compositions.named.resolve import margin_composition
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.prediction import (
    Prediction,
    predict_from_errors,
    predict_from_margins,
    predict_from_outputs,
    predict_product,
)
from critlearn.results import Result, dataframe_of

if TYPE_CHECKING:
    import pandas as pd

_BATCH: Final = 2048
"""Samples in one pass."""

_ROUNDING: Final = 1e-3
"""Difference of two sums over a batch, over the largest entry, that may be rounding: single precision loses four digits
where samples cancel, and a second use of a weight that is smaller changes its distribution by less."""

_OTHER_LAYER: Final = (
    "nothing predicts what is no dense layer (torch.nn.Linear) called once for each sample, on one vector"
)
"""Reason why a trainable variable is not predicted."""


@dataclass(frozen=True, repr=False)
class Factorisation(Result):
    """Distance of a factorised prediction from the measured distribution.

    Parameters
    ----------
    kolmogorov_smirnov
        Largest difference of the two cumulative distributions of ``ln|delta|``, in [0, 1].
    decades
        Mean distance by which probability has to be moved, in decades (Wasserstein).
    """

    kolmogorov_smirnov: float
    decades: float

    def summary(self) -> str:
        """Both distances in one phrase."""
        return f"KS distance {self.kolmogorov_smirnov:.3f}, {self.decades:.2f} decades on average"


@dataclass(frozen=True, eq=False, repr=False)
class SystemPrediction(Result):
    """Predictions by name of the trainable variable, under the assumption of independent factors.

    The output error, the back-propagated factor and the activity of a sample are assumed to be independent, so that the
    distributions of their logarithms convolve (theory, products). In a network they are not exactly independent:
    `factorisation` measures how far this matters.

    Parameters
    ----------
    predictions
        By name of the trainable variable.
    error
        Prediction for the size of a sample's output error.
    unpredicted
        Reason in words, by name of each trainable variable that nothing predicts.
    """

    predictions: Mapping[str, Prediction]
    error: Prediction
    unpredicted: Mapping[str, str] = field(default_factory=dict)

    ASSUMPTION = "output error, back-propagated factors and activities of a sample are independent"

    def factorisation(self, measured: Mapping[str, LogSketch]) -> dict[str, Factorisation]:
        """Distance of each prediction from the measured sketch of the same name; exact zeros are left out of both.

        Raises
        ------
        InvalidInputError
            If no name is common.
        """
        common = [name for name in self.predictions if name in measured and measured[name].log_range is not None]
        if not common:
            raise InvalidInputError("nothing was measured of what is predicted; measure the same system")
        return {name: distance(self.predictions[name], measured[name]) for name in common}

    def to_dict(self) -> dict[str, Any]:
        """Predictions as plain values."""
        predictions = {name: prediction.to_dict() for name, prediction in self.predictions.items()}
        return {
            "assumption": self.ASSUMPTION,
            "error": self.error.to_dict(),
            "predictions": predictions,
            "unpredicted": dict(self.unpredicted),
        }

    def summary(self) -> str:
        """One line for each variable."""
        return "\n".join(f"{name}: {prediction.summary()}" for name, prediction in self.predictions.items())

    def to_dataframe(self) -> "pd.DataFrame":
        """Row for each trainable variable."""
        return dataframe_of({name: prediction.to_dict() for name, prediction in self.predictions.items()})


def predict(system: NeuralSystem, *, lr: float = 1.0) -> SystemPrediction:
    """Predict the fluctuations of every dense layer of a trained network from the network's own state.

    The density of output margins is pushed through the composition (for softmax, that of the margin of the true class;
    for other losses of classes, the density of the output error's logarithm is used directly). For output weights the
    error is multiplied by the last activities, for hidden layers by their back-propagated factors and activities: the
    distributions of the logarithms are convolved (theory, products).

    Parameters
    ----------
    system
        Network of any depth. Predicted are its `torch.nn.Linear` layers that are called once for each sample, on one
        vector: the change of any other variable is a sum over places, no product.
    lr
        Learning rate.

    Raises
    ------
    InvalidInputError
        If there is no such layer, or the margins have no density.
    """
    layers = {name: module for name, module in system.model.named_modules() if isinstance(module, nn.Linear)}
    if not layers:
        raise InvalidInputError("predictions are made for dense layers (torch.nn.Linear); the model has none")
    if isinstance(system.loss, TokenCrossEntropy):
        raise InvalidInputError(
            "predictions are made for losses of one output or class per sample; the change of a sequence is a sum over "
            "its positions, which is no product of independent factors"
        )
    state = _state(system, layers)
    if not state.activities:
        raise InvalidInputError(
            "predictions are made for dense layers (torch.nn.Linear) that are called once for each sample, on one "
            f"vector, and whose weights nothing else uses; {next(iter(state.sums), 'none')} is not one"
        )
    single = state.errors.shape[1] == 1
    error = _error(system, state, lr)
    found: dict[str, Prediction] = {}
    for name in state.activities:
        start = f"{name}." if name else ""
        factor = state.factors[name]
        # The back-propagated factor of a single output is 1: the error itself is the prediction for its bias.
        bias = (
            error
            if single and name == state.last and _is_one(factor)
            else predict_product(error, factor, "back-propagated factors")
        )
        found[f"{start}bias"] = bias
        found[f"{start}weight"] = predict_product(bias, state.activities[name])
    trainable = system.parameters
    predictions = {name: prediction for name, prediction in found.items() if name in trainable}
    return SystemPrediction(predictions, error, {name: _OTHER_LAYER for name in trainable if name not in predictions})


@dataclass(frozen=True, eq=False)
class _State:
    """State of a network over its data: logarithms of output errors, the single output if any, sketches of its layers.

    For softmax, the single output is the margin of the true class, without targets. ``sums`` are the layers left out,
    whose changes are sums over places or calls.
    """

    errors: Float64[np.ndarray, "sample output"]
    scale: Float64[np.ndarray, " sample"]
    outputs: Float64[np.ndarray, " sample"] | None
    targets: Float64[np.ndarray, " sample"] | None
    factors: dict[str, LogSketch]
    activities: dict[str, LogSketch]
    last: str
    sums: tuple[str, ...]


def _error(system: NeuralSystem, state: _State, lr: float) -> Prediction:
    """Prediction for the size of a sample's output error: the largest over the outputs."""
    if isinstance(system.loss, SoftmaxCrossEntropy):
        return predict_from_margins(margin_composition(system.loss), state.outputs, lr=lr)  # type: ignore[arg-type]
    if state.targets is not None and hasattr(system.loss, "log_error_derivatives"):
        return predict_from_outputs(system.loss, state.outputs, state.targets, lr=lr)  # type: ignore[arg-type]
    return predict_from_errors(state.scale + math.log(lr), system.loss.name)


def _state(system: NeuralSystem, layers: Mapping[str, nn.Linear]) -> _State:
    """One pass over the data: forward, and backward from output errors of size 1."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    sums: dict[str, None] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            # Rows that are no samples are places, or samples and places together.
            if name in seen or not inputs or inputs[0].dim() != 2 or len(inputs[0]) != samples:
                sums[name] = None
            elif output.requires_grad:
                seen[name] = (inputs[0].detach(), output)

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in layers.items()]
    factors = {name: LogSketch.empty() for name in layers}
    activities = {name: LogSketch.empty() for name in layers}
    errors, scales, outputs, targets, last = [], [], [], [], ""
    try:
        for x, t in system.boundary(_BATCH):
            seen.clear()
            samples = len(x)
            y, target = system.forward(x, t)
            # Unit errors go back, as the pass is linear in them: the factors do not underflow with the errors.
            sign, log_size = system.loss.log_output_error(y.detach(), target)
            scale = log_size.amax(dim=1)
            unit = sign * (log_size - torch.where(torch.isneginf(scale), 0.0, scale)[:, None]).exp()
            passed = (y * unit.to(y.dtype)).sum()
            trained = [name for name in seen if layers[name].weight.requires_grad]
            wanted = [*(z for _, z in seen.values()), *(layers[name].weight for name in trained)]
            gradients = torch.autograd.grad(passed, wanted, allow_unused=True)
            changes = dict(zip(trained, gradients[len(seen) :], strict=True))
            for (name, (activity, _)), gradient in zip(seen.items(), gradients[: len(seen)], strict=True):
                if gradient is not None:
                    # A weight that is tied, or used by a function as well, changes by more than this product.
                    if name in changes and not _alike(changes[name], gradient.T @ activity):
                        sums[name] = None
                    factors[name] = factors[name].merge(_sketch(gradient))
                    activities[name] = activities[name].merge(_sketch(activity))
            last = list(seen)[-1] if seen else ""
            errors.append(log_size.cpu().numpy())
            scales.append(scale.cpu().numpy())
            output, own_target = _single(system, y.detach(), target)
            outputs.append(output)
            targets.append(own_target)
    finally:
        for handle in handles:
            handle.remove()
    found, known = (None if parts[0] is None else np.concatenate(parts) for parts in (outputs, targets))
    kept = {name: sketch for name, sketch in activities.items() if name not in sums and sketch.count}
    return _State(np.concatenate(errors), np.concatenate(scales), found, known, factors, kept, last, tuple(sums))


def _single(system: NeuralSystem, y: Tensor, target: Tensor) -> tuple[Any, Any]:
    """Single number on which the error of each sample depends, and its target; None for each that does not exist.

    For softmax the number is the margin of the true class over the sum of the others.
    """
    if isinstance(system.loss, SoftmaxCrossEntropy):
        return system.loss.margins(y, target).double().cpu().numpy(), None
    if system.loss.class_targets or y.shape[1] != 1:
        return None, None
    return y.flatten().double().cpu().numpy(), target.expand_as(y).flatten().double().cpu().numpy()


def _alike(change: Tensor | None, product: Tensor) -> bool:
    """Whether two sums over a batch are the same, but for rounding."""
    if change is None:
        return False
    scale = float(product.abs().max())
    return bool((change - product).abs().max() <= _ROUNDING * max(scale, torch.finfo(product.dtype).tiny))


def _is_one(factor: LogSketch) -> bool:
    """Whether all factors are 1, to within a bin."""
    return factor.log_range is not None and max(map(abs, factor.log_range)) <= BIN_WIDTH


def _sketch(values: Tensor) -> LogSketch:
    return LogSketch.from_values(values.detach().double().cpu().numpy().ravel())


def distance(prediction: Prediction, measured: LogSketch) -> Factorisation:
    """Distance of a predicted from a measured distribution of ``ln|delta|``."""
    # Both cumulative distributions are linear within bins, so the union of the edges holds all extrema of their gap.
    predicted = prediction.distribution
    edges = np.union1d(predicted.edges, measured.edges)
    shares = []
    for own_edges, mass in ((predicted.edges, predicted.mass), (measured.edges, measured.counts)):
        below = np.concatenate([[0.0], np.cumsum(mass, dtype=np.float64)])
        shares.append(np.interp(edges, own_edges, below / below[-1]))
    gap = np.abs(shares[0] - shares[1])
    moved = float((0.5 * (gap[1:] + gap[:-1]) * np.diff(edges)).sum())
    return Factorisation(float(gap.max()), moved / math.log(10))

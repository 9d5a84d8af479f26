"""Logarithms of the output errors of one half of the samples, and of their changes along the modes."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from critlearn.comparison.learning_modes.sample_changes import SampleChanges
from critlearn.compositions import SoftmaxCrossEntropy
from critlearn.network import NeuralSystem

_KERNEL: Final = 0.5
"""Width of the kernel that smooths the margins of a half, in standard deviations of them times N^(-1/5): half of
Silverman's rule, as margins of two classes have two peaks."""

_NODES: Final = 6
"""Points of a Gauss-Hermite rule that stand for the kernel: it is narrow, and the error signal smooth within it."""


@dataclass(frozen=True, eq=False)
class SampleSizes:
    """Sizes of errors and changes of some samples, as logarithms; minus infinity is an exact zero.

    Parameters
    ----------
    log_error
        ``ln|e|``, the largest output error of each sample.
    log_smoothed
        The same where each sample's margin is replaced by the points of a narrow kernel, shape (sample, point); the
        errors themselves, as one point, where there is no margin.
    weights
        Weights of the points, which sum to 1.
    sign, log_change
        Sign and logarithm of the change z along each mode.
    """

    log_error: Float64[np.ndarray, " sample"]
    log_smoothed: Float64[np.ndarray, "sample point"]
    weights: Float64[np.ndarray, " point"]
    sign: Float64[np.ndarray, "sample mode"]
    log_change: Float64[np.ndarray, "sample mode"]

    @property
    def log_factor(self) -> Float64[np.ndarray, "sample mode"]:
        """``ln|c|`` of the change ``z = -e c``; NaN where the error is an exact zero."""
        with np.errstate(invalid="ignore"):
            return np.where(np.isneginf(self.log_error)[:, None], np.nan, self.log_change - self.log_error[:, None])


@torch.no_grad()
def sample_sizes(changes: SampleChanges, directions: Tensor) -> SampleSizes:
    """Sizes of a half's errors and of its changes along the directions, in one pass."""
    system, errors, signs, logs = changes.gradients.system, [], [], []
    margins: list[tuple[Tensor, Tensor]] = []
    for x, t, first in changes.batches():
        # Before the network's own pass: it numbers a sample that is not finite as the data set does.
        components, units = changes.projections(x, t, first, directions)
        y, target = system.forward(x, t)
        y = y.double()
        target = target.double() if target.is_floating_point() and not system.loss.class_targets else target
        errors.append(system.loss.log_output_error(y, target)[1].flatten(1).amax(dim=1))
        margins.extend(_margins(system, y, target))
        signs.append(components.sign())
        logs.append(components.abs().log() + torch.where(torch.isneginf(units), 0.0, units)[:, None])
    log_error = torch.cat(errors)
    smoothed, weights = log_error[:, None], np.ones(1)
    if margins:
        y, target = (torch.cat(parts) for parts in zip(*margins, strict=True))
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        weights = weights / weights.sum()
        width = _KERNEL * _spread(y, target) * len(y) ** -0.2
        smoothed = torch.stack([_log_errors(system, y + width * float(node), target) for node in nodes], dim=1)
    arrays = (part.cpu().numpy() for part in (torch.cat(signs), torch.cat(logs)))
    return SampleSizes(log_error.cpu().numpy(), smoothed.cpu().numpy(), weights, *arrays)


def _margins(system: NeuralSystem, y: Tensor, target: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Numbers on which the errors of a batch depend, and their targets; none where there is no such number."""
    if isinstance(system.loss, SoftmaxCrossEntropy):
        return [(system.loss.margins(y, target), target)]
    return [] if system.loss.class_targets or y.shape[1] != 1 else [(y.flatten(), target.flatten())]


def _log_errors(system: NeuralSystem, margin: Tensor, target: Tensor) -> Tensor:
    """``ln|e|`` of these margins, or single outputs."""
    if isinstance(system.loss, SoftmaxCrossEntropy):
        # The error of the true class, which is that of all others together: sigma(-m).
        return torch.nn.functional.logsigmoid(-margin)
    return system.loss.log_output_error(margin[:, None], target[:, None])[1][:, 0]


def _spread(y: Tensor, target: Tensor) -> float:
    """Standard deviation of the margins: of outputs towards their class, or of their distance from the target."""
    if not target.is_floating_point():
        return float(y.std())
    classes = bool((target.abs() == target[0].abs()).all()) and bool(target[0] != 0)
    spread = float((y * target.sign() if classes else y - target).std())
    return spread if math.isfinite(spread) else 0.0

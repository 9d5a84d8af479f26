"""Target of a sample from its output error: the last step of inverting the duality map."""

import itertools
from typing import Any, Final

import numpy as np
import torch
from scipy.optimize import brentq, nnls
from torch import Tensor

from critlearn.compositions import Averaged, OutputLoss, SoftTargetCrossEntropy
from critlearn.compositions.softmax.weighted import KullbackLeibler
from critlearn.compositions.torch_losses.log_probabilities import LogDivergence
from critlearn.compositions.torch_losses.poisson import PoissonCounts
from critlearn.compositions.torch_losses.weighted_logistic import WeightedLogistic
from critlearn.duality.jacobian.output_response import continuous_targets, makes_soft_targets
from critlearn.errors import InvalidInputError

_RESIDUALS: Final = np.logspace(-12, 12, 481)
"""Distances from the output between which a continuous target is bracketed, twenty per decade."""

_MOST_SIGNS: Final = 10
"""Largest number of outputs with two classes of which every combination is tried: 1024 of them."""


def fitting_target(
    loss: OutputLoss,
    y: Tensor,
    gradients: Tensor,
    wanted: Tensor,
    *,
    weight: float,
    lower: float,
    tolerance: float,
    rounding: float,
) -> tuple[Tensor, bool]:
    """Find the target whose output error e fits the changes best, ``gradients^T e = wanted``, and whether it is unique.

    If the gradients determine the error, the target follows from it. If they do not, as behind a frozen layer that is
    wider than the layer before it, classes are compared by the changes that they give, and one of a continuum of
    targets is chosen.

    Parameters
    ----------
    y, gradients
        Outputs (output,) and the gradients of each of them (output, variable).
    wanted
        Gradients of the loss, shape (variable,).
    weight
        Sum of targets that are probabilities, which changes no error.
    lower
        Lower class of an output with two, -1 or 0.
    tolerance
        Largest relative residual of a target on the sheet.
    rounding
        Spacing of the floating-point type of ``wanted``.
    """
    rows, right = gradients.T, wanted
    if takes_probabilities(loss):
        # Errors behind a softmax add up to zero: a network that ends in its logarithm hides their part along p.
        rows = torch.cat([rows, gradients.abs().max().expand(1, len(y))])
        right = torch.cat([right, wanted.new_zeros(1)])
    solved = torch.linalg.lstsq(rows, right[:, None], driver="gelsd")
    error = solved.solution[:, 0]
    if int(solved.rank) == len(y):
        return target_of_error(loss, y, error, weight, lower, rounding)
    if loss.class_targets:
        every = torch.arange(len(y), device=y.device)
    elif takes_probabilities(loss):
        return _weights(loss, y, gradients, wanted, weight), False
    elif continuous_targets(loss) or _linear_in_target(loss) or len(y) > _MOST_SIGNS:
        return target_of_error(loss, y, error, weight, lower, rounding)[0], False
    else:
        every = torch.tensor(list(itertools.product((lower, 1.0), repeat=len(y))), dtype=y.dtype, device=y.device)
    left = (loss.output_error(y.expand(len(every), -1), every) @ gradients - wanted).norm(dim=1)
    return every[left.argmin()], int((left <= tolerance * wanted.norm()).sum()) == 1


def takes_probabilities(loss: OutputLoss) -> bool:
    """Whether targets are probabilities, or their logarithms, behind a softmax: their sum changes no error."""
    return isinstance(loss, SoftTargetCrossEntropy) or (makes_soft_targets(loss) and not loss.class_targets)


def takes_logarithms(loss: OutputLoss) -> bool:
    """Whether targets are logarithms of probabilities."""
    return isinstance(loss, KullbackLeibler) and loss.log_targets


def _slopes_and_offsets(loss: OutputLoss, y: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes a and offsets b of the targets ``a t + b`` of plain cross-entropy that a loss makes of probabilities t."""
    if takes_logarithms(loss) or not makes_soft_targets(loss):
        return torch.ones_like(y), torch.zeros_like(y)
    zero = torch.zeros_like(y)[None]
    slopes, offsets = loss.target_slopes(y[None], zero)[0], loss.soft_targets(y[None], zero)[0]
    if not bool((slopes > 0).all()):
        raise InvalidInputError(
            f'no inverse of "{loss.name}": targets of classes with weight 0, or all that smoothing 1 replaces, change '
            "no error; give positive weights, and a smoothing below 1"
        )
    return slopes, offsets


def _as_targets(loss: OutputLoss, probabilities: Tensor) -> Tensor:
    """Probabilities, or their logarithms, as a loss takes them."""
    # The logarithm of a probability of zero is not finite: the smallest normal number changes no error.
    return probabilities.clamp(min=1e-300).log() if takes_logarithms(loss) else probabilities


def _weights(loss: OutputLoss, y: Tensor, gradients: Tensor, wanted: Tensor, weight: float) -> Tensor:
    """Targets ``t >= 0`` of sum ``weight`` with ``gradients^T (p sum(s) - s) = wanted``, s = a t + b, least squares."""
    slopes, offsets = _slopes_and_offsets(loss, y)
    errors = y.softmax(dim=0)[:, None].expand(len(y), len(y)) - torch.eye(len(y)).to(y)
    # After QR the problem has one row per output instead of one per variable, and the sum as a last row.
    basis, triangle = torch.linalg.qr(gradients.T)
    right = basis.T @ wanted - triangle @ (errors @ offsets)
    size = float(triangle.abs().max()) or 1.0
    matrix = torch.cat([triangle @ (errors * slopes) / size, torch.ones(1, len(y)).to(y)])
    found, _ = nnls(matrix.cpu().numpy(), torch.cat([right / size, y.new_tensor([weight])]).cpu().numpy())
    return _as_targets(loss, torch.from_numpy(found).to(y))


def target_of_error(
    loss: OutputLoss, y: Tensor, error: Tensor, weight: float, lower: float, rounding: float
) -> tuple[Tensor, bool]:
    """Find the target whose output error at outputs ``y`` is nearest to ``error``, and whether it is unique.

    All classes are tried, for each output separately if the outputs do not interact. Probabilities have the sum
    ``weight``.

    Parameters
    ----------
    y, error
        Outputs and errors of one sample, shape (output,).
    weight
        Sum of the probabilities.
    lower
        Lower class of an output with two, -1 or 0.
    rounding
        Spacing of the precision of the errors.
    """
    if loss.class_targets:
        every = torch.arange(len(y), device=y.device)
        errors = loss.output_error(y.expand(len(y), -1), every)
        return every[(errors - error).norm(dim=1).argmin()], True
    if takes_probabilities(loss):
        p, (slopes, offsets) = y.softmax(dim=0), _slopes_and_offsets(loss, y)
        # The error is p S - (a t + b) with S the sum of a t + b, which follows from the sum of t.
        total = (weight + ((error + offsets) / slopes).sum()) / (p / slopes).sum()
        t = (total * p - error - offsets) / slopes
        # Weights of the size of rounding are set to 0: only exact one-hot targets have exact errors in the tail.
        kept = torch.where(t <= 4 * rounding * total / slopes, 0.0, t)
        return _as_targets(loss, kept / kept.sum() * weight), True
    if not continuous_targets(loss):
        first = 0.0 if _linear_in_target(loss) else lower
        below, above = (loss.output_error(y[None], torch.full_like(y[None], value))[0] for value in (first, 1.0))
        if not _linear_in_target(loss):
            return torch.where((above - error).abs() <= (below - error).abs(), 1.0, lower).to(y), True
        if getattr(_single(loss), "log_targets", False):
            return (error / below).log(), True
        t = (error - below) / (above - below)
        # Only 0 and 1 have exact errors in the tail.
        whole = t.round()
        return torch.where((t - whole).abs() <= 64 * rounding * (1 + t.abs()), whole, t), True
    targets, unique = [], True
    for at in range(len(y)):
        share = len(y) if isinstance(loss, Averaged) else 1
        found = _roots(_single(loss), y[at], float(error[at]) * share, rounding)
        targets.append(found[0] if found else float("nan"))
        unique &= len(found) == 1
    return torch.tensor(targets, dtype=y.dtype, device=y.device), unique


def _linear_in_target(loss: OutputLoss) -> bool:
    """Whether each output error is linear in its own target, or its exponential: a share or a count, no coordinate."""
    return isinstance(_single(loss), WeightedLogistic | PoissonCounts | LogDivergence)


def lower_class(loss: OutputLoss, targets: Tensor) -> float:
    """Lower class of an output with two: 0 if the loss or the data set has it, else -1."""
    return 0.0 if isinstance(_single(loss), WeightedLogistic) or bool((targets == 0).any()) else -1.0


def two_sided(loss: OutputLoss, outputs: int) -> bool:
    """Whether errors tell only on which side of its target an output is, as those of the absolute error do."""
    if takes_probabilities(loss):
        return False
    y = torch.zeros(3, outputs, dtype=torch.float64)
    t = torch.tensor([1e-3, 1.0, 1e3], dtype=torch.float64)[:, None].expand_as(y)
    errors = loss.output_error(torch.cat([y, y]), torch.cat([t, -t]))
    return bool((errors[:3] == errors[0]).all() and (errors[3:] == -errors[0]).all() and (errors != 0).all())


def _single(loss: OutputLoss) -> OutputLoss:
    return loss.single if isinstance(loss, Averaged) else loss


def _roots(loss: Any, y: Tensor, error: float, rounding: float) -> list[float]:
    """Targets at which one output has this error, the nearest to the output first.

    Where the error is constant, as Huber's is beyond its threshold, several targets are returned.
    """
    value = float(loss.activation(y)) if hasattr(loss, "activation") else float(y)

    def excess(residual: float) -> float:
        t = torch.tensor([[value - residual]], dtype=torch.float64)
        return float(loss.output_error(y.reshape(1, 1).cpu(), t)) - error

    grid = np.concatenate([-_RESIDUALS[::-1], _RESIDUALS])
    at = torch.from_numpy(value - grid)[:, None]
    errors = loss.output_error(y.cpu().expand(len(grid), 1), at)[:, 0].numpy() - error
    places = np.flatnonzero(np.sign(errors[:-1]) * np.sign(errors[1:]) < 0)
    found = [brentq(excess, grid[place], grid[place + 1], xtol=1e-15, rtol=1e-14) for place in places]
    near = grid[np.abs(errors) <= 64 * rounding * abs(error)].tolist()
    found += [residual for residual in near if all(abs(residual - other) > 1e-6 * abs(residual) for other in found)]
    if not found and error == 0:
        found = [0.0]
    return [value - residual for residual in sorted(found, key=abs)]

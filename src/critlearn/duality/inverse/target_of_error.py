"""Target of a sample from its output error: the last step of inverting the duality map."""

import itertools
from typing import Any, Final

import numpy as np
import torch
from scipy.optimize import brentq, nnls
from torch import Tensor

from critlearn.compositions import Averaged, OutputLoss, SoftTargetCrossEntropy
from critlearn.duality.jacobian.output_response import continuous_targets

_RESIDUALS: Final = np.logspace(-12, 12, 481)
"""Distances from the output between which a continuous target is bracketed, twenty per decade."""

_MOST_SIGNS: Final = 10
"""Largest number of outputs with classes -1, +1 of which every combination is tried: 1024 of them."""


def fitting_target(
    loss: OutputLoss, y: Tensor, gradients: Tensor, wanted: Tensor, *, weight: float, tolerance: float, rounding: float
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
    tolerance
        Largest relative residual of a target on the sheet.
    rounding
        Spacing of the floating-point type of ``wanted``.
    """
    solved = torch.linalg.lstsq(gradients.T, wanted[:, None], driver="gelsd")
    error = solved.solution[:, 0]
    if int(solved.rank) == len(y):
        return target_of_error(loss, y, error, weight, rounding)
    if loss.class_targets:
        every = torch.arange(len(y), device=y.device)
    elif isinstance(loss, SoftTargetCrossEntropy):
        return _weights(y.softmax(dim=0), gradients, wanted, weight), False
    elif continuous_targets(loss) or len(y) > _MOST_SIGNS:
        return target_of_error(loss, y, error, weight, rounding)[0], False
    else:
        every = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=len(y))), dtype=y.dtype, device=y.device)
    left = (loss.output_error(y.expand(len(every), -1), every) @ gradients - wanted).norm(dim=1)
    return every[left.argmin()], int((left <= tolerance * wanted.norm()).sum()) == 1


def _weights(p: Tensor, gradients: Tensor, wanted: Tensor, weight: float) -> Tensor:
    """Weights ``t >= 0`` of sum ``weight`` with ``gradients^T (weight p - t) = wanted``, by least squares."""
    # After QR the problem has one row per output instead of one per variable, and the sum as a last row.
    basis, triangle = torch.linalg.qr(gradients.T)
    right = triangle @ (weight * p) - basis.T @ wanted
    size = float(triangle.abs().max()) or 1.0
    matrix = torch.cat([triangle / size, torch.ones(1, len(p)).to(p)])
    found, _ = nnls(matrix.cpu().numpy(), torch.cat([right / size, p.new_tensor([weight])]).cpu().numpy())
    return torch.from_numpy(found).to(p)


def target_of_error(
    loss: OutputLoss, y: Tensor, error: Tensor, weight: float = 1.0, rounding: float = 2.0**-52
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
    rounding
        Spacing of the precision of the errors.
    """
    if loss.class_targets:
        every = torch.arange(len(y), device=y.device)
        errors = loss.output_error(y.expand(len(y), -1), every)
        return every[(errors - error).norm(dim=1).argmin()], True
    if isinstance(loss, SoftTargetCrossEntropy):
        t = weight * y.softmax(dim=0) - error
        # Weights of the size of rounding are set to 0: only exact one-hot targets have exact errors in the tail.
        kept = torch.where(t <= 4 * rounding * weight, 0.0, t)
        return kept / kept.sum() * weight, True
    if not continuous_targets(loss):
        below, above = (loss.output_error(y[None], torch.full_like(y[None], label))[0] for label in (-1.0, 1.0))
        return torch.where((above - error).abs() <= (below - error).abs(), 1.0, -1.0).to(y), True
    targets, unique = [], True
    for at in range(len(y)):
        share = len(y) if isinstance(loss, Averaged) else 1
        found = _roots(_single(loss), y[at], float(error[at]) * share, rounding)
        targets.append(found[0] if found else float("nan"))
        unique &= len(found) == 1
    return torch.tensor(targets, dtype=y.dtype, device=y.device), unique


def two_sided(loss: OutputLoss, outputs: int) -> bool:
    """Whether errors tell only on which side of its target an output is, as those of the absolute error do."""
    if isinstance(loss, SoftTargetCrossEntropy):
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

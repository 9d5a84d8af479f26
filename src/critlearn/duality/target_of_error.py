"""Targets from output errors: the last step of inverting the duality map."""

from typing import Any, Final

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from critlearn.compositions import Averaged, OutputLoss, SoftTargetCrossEntropy
from critlearn.duality.output_response import continuous_targets

_RESIDUALS: Final = np.logspace(-12, 12, 481)
"""Distances from the output at which a continuous target is looked for."""


def target_of_error(loss: OutputLoss, y: Tensor, error: Tensor) -> tuple[Tensor, bool]:
    """Target whose output error at outputs ``y`` is nearest to a given one, and whether it is the only one.

    Classes are tried, each output by itself where they do not interact. Of probabilities, whose sum changes no error,
    those that add up to 1 are given.

    Parameters
    ----------
    y, error
        Outputs and errors of one sample, shape (output,).
    """
    if loss.class_targets:
        every = torch.arange(len(y), device=y.device)
        errors = loss.output_error(y.expand(len(y), -1), every)
        return every[(errors - error).norm(dim=1).argmin()], True
    if isinstance(loss, SoftTargetCrossEntropy):
        return y.softmax(dim=0) - error, True
    if not continuous_targets(loss):
        below, above = (loss.output_error(y[None], torch.full_like(y[None], side))[0] for side in (-1.0, 1.0))
        return torch.where((above - error).abs() <= (below - error).abs(), 1.0, -1.0).to(y), True
    targets, unique = [], True
    for at in range(len(y)):
        found = _roots(_single(loss), y[at], float(error[at]) * (len(y) if isinstance(loss, Averaged) else 1))
        targets.append(found[0] if found else float("nan"))
        unique &= len(found) == 1
    return torch.tensor(targets, dtype=y.dtype, device=y.device), unique


def _single(loss: OutputLoss) -> OutputLoss:
    return loss.single if isinstance(loss, Averaged) else loss


def _roots(loss: Any, y: Tensor, error: float) -> list[float]:
    """Targets of one output with a given error, the nearest to the output first."""
    value = float(loss.activation(y)) if hasattr(loss, "activation") else float(y)

    def excess(residual: float) -> float:
        t = torch.tensor([[value - residual]], dtype=torch.float64)
        return float(loss.output_error(y.reshape(1, 1).cpu(), t)) - error

    grid = np.concatenate([-_RESIDUALS[::-1], _RESIDUALS])
    at = torch.from_numpy(value - grid)[:, None]
    errors = loss.output_error(y.cpu().expand(len(grid), 1), at)[:, 0].numpy() - error
    places = np.flatnonzero(np.sign(errors[:-1]) * np.sign(errors[1:]) < 0)
    found = [brentq(excess, grid[place], grid[place + 1], xtol=1e-15, rtol=1e-14) for place in places]
    found += grid[np.flatnonzero(errors == 0)].tolist()
    if not found and error == 0:
        found = [0.0]
    return [value - residual for residual in sorted(found, key=abs)]

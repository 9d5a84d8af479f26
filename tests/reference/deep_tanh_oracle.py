"""Back-propagation through a dense tanh network with squared error, at high precision, from plain definitions."""

from collections.abc import Sequence

import mpmath as mp
import numpy as np


def log_gradients(
    weights: Sequence[np.ndarray], biases: Sequence[np.ndarray], x: np.ndarray, t: float, digits: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """``ln|dl/dW|`` and ``ln|dl/db|`` of each layer for ``(tanh(y) - t)^2`` with tanh in every layer, t = +-1."""
    with mp.workdps(digits):
        activities = [[mp.mpf(float(value)) for value in x]]
        slopes = []
        for weight, bias in zip(weights, biases, strict=True):
            pre = [
                mp.fsum(mp.mpf(float(w)) * a for w, a in zip(row, activities[-1], strict=True)) + mp.mpf(float(b))
                for row, b in zip(weight, bias, strict=True)
            ]
            activities.append([mp.tanh(value) for value in pre])
            slopes.append([1 / mp.cosh(value) ** 2 for value in pre])
        errors = [2 * (activities[-1][0] - t) * slopes[-1][0]]
        found = []
        for layer in range(len(weights) - 1, -1, -1):
            found.append(
                (
                    np.array([[_log(error * a) for a in activities[layer]] for error in errors]),
                    np.array([_log(error) for error in errors]),
                )
            )
            if layer:
                errors = [
                    mp.fsum(mp.mpf(float(weights[layer][i, j])) * error for i, error in enumerate(errors))
                    * slopes[layer - 1][j]
                    for j in range(len(activities[layer]))
                ]
        return found[::-1]


def _log(value: mp.mpf) -> float:
    return float(mp.log(abs(value))) if value else -np.inf

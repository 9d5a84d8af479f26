"""Starts of searches for preimages, from a map evaluated on a regular grid."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import scipy.ndimage
import torch
from torch import Tensor

_ALWAYS: Final = 6
"""Grid points from which Newton's method always starts, however far their changes are from the wanted ones."""


@dataclass(frozen=True, eq=False)
class GridStarts:
    """Boundary points on a regular grid with their changes.

    Parameters
    ----------
    points, changes
        Shape (point, K), the last coordinate running fastest.
    steps
        Points along each coordinate.
    """

    points: Tensor
    changes: Tensor
    steps: int

    def starts(self, value: Tensor, *, most: int | None = None) -> Tensor:
        """Grid points near preimages of a value: local minima of the distance to it, the nearest first.

        A minimum is kept if its distance is at most twice the variation of the changes around it; the nearest few are
        always kept.

        Parameters
        ----------
        value
            Changes of the chosen variables, shape (K,).
        most
            Largest number of points; None for all.
        """
        distance = (self.changes - value).norm(dim=1)
        shape = [self.steps] * self.points.shape[1]
        lowest = scipy.ndimage.minimum_filter(distance.reshape(shape).numpy(), size=3, mode="nearest").reshape(-1)
        minima = torch.from_numpy(lowest >= distance.numpy()).nonzero()[:, 0]
        minima = minima[distance[minima].argsort()]
        near = distance[minima] <= 2 * self._variation[minima]
        near[:_ALWAYS] = True
        return self.points[minima[near][:most]]

    @cached_property
    def _variation(self) -> Tensor:
        """Variation of the changes over a point and its neighbours, shape (point,)."""
        shape = [self.steps] * self.points.shape[1]
        spans = []
        for column in self.changes.T:
            values = column.reshape(shape).numpy()
            high = scipy.ndimage.maximum_filter(values, size=3, mode="nearest")
            low = scipy.ndimage.minimum_filter(values, size=3, mode="nearest")
            spans.append(torch.from_numpy((high - low).reshape(-1)))
        return torch.stack(spans).norm(dim=0)

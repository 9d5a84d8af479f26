"""Tangent spaces of a data set: leading principal directions of the nearest neighbours of a sample."""

import torch
from torch import Tensor

from critlearn.duality.criteria import POOL_OF_NEIGHBOURS, TANGENT_SHARE
from critlearn.duality.jacobian.output_response import continuous_targets
from critlearn.duality.map import DualityMap
from critlearn.duality.one_tensor import samples_of_one_tensor


class DataTangents:
    """Local principal directions of a data set in the boundary space, from samples spread evenly over it.

    Neighbours have the same class; continuous targets are coordinates as inputs are.

    Parameters
    ----------
    phi
        The duality map, whose system holds the data.
    neighbours
        Nearest neighbours of a sample.
    """

    def __init__(self, phi: DualityMap, neighbours: int) -> None:
        size = len(phi.system)
        numbers = torch.linspace(0, size - 1, min(size, POOL_OF_NEIGHBOURS)).round().long().unique().tolist()
        x, t = samples_of_one_tensor(phi.system, numbers)
        self._neighbours = neighbours
        self._continuous = continuous_targets(phi.one_sample(x[0], t[0])[2])
        self._points, self._classes = self._coordinates(x, t), t.reshape(len(t), -1)

    def _coordinates(self, x: Tensor, t: Tensor) -> Tensor:
        flat = x.reshape(len(x), -1).double()
        return torch.cat([flat, t.reshape(len(t), -1).to(flat)], dim=1) if self._continuous else flat

    def at(self, x: Tensor, t: Tensor) -> tuple[Tensor, float]:
        """Orthonormal directions (boundary, direction) of the data near one sample; no columns without neighbours.

        As many as hold `TANGENT_SHARE` of the neighbours' variance around the sample. Also the share of all other
        samples, of the same class, that are its neighbours.
        """
        points, here = self._points, self._coordinates(x[None], t[None])
        if not self._continuous:
            points = points[(self._classes == t.reshape(-1)).all(dim=1)]
        distances = (points - here).norm(dim=1)
        # The sample itself, and copies of it, tell no direction.
        others = (distances > 0).nonzero()[:, 0]
        nearest = others[distances[others].argsort()[: self._neighbours]]
        if not len(nearest):
            return here.new_zeros(here.shape[1], 0), 1.0
        offsets = points[nearest] - here
        _, values, directions = torch.linalg.svd(offsets / offsets.norm(dim=1).max(), full_matrices=False)
        shares = (values**2).cumsum(dim=0) / (values**2).sum()
        return directions[: int((shares < TANGENT_SHARE).sum()) + 1].T, len(nearest) / len(others)

"""Forward pass of dense layers in double precision whose inputs are mostly exact zeros, such as empty pixels."""

from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from critlearn.numerics.kernels.compiled import compiled
from critlearn.numerics.kernels.threads import on_threads, threads

_SPARSE: Final = 0.35
"""Largest share of nonzero inputs for which zeros are skipped: at one half this is as fast as the dense product."""

_LOOKED_AT: Final = 8
"""Stride of the samples whose share of zeros is counted."""

_WORTH: Final = 1 << 16
"""Products of weights and inputs in a batch below which zeros are not skipped: the overhead would exceed the gain."""


class SparseInputs:
    """Outputs ``W x + b`` of a dense layer, summed over nonzero inputs only where this is faster.

    Products and sums are in double precision, as in the layer itself; only the order of the sums differs. Weights are
    kept in single precision, half as large, for which they must be numbers of single precision.

    Parameters
    ----------
    layer
        A dense layer in double precision; its weights do not change any more.
    """

    def __init__(self, layer: nn.Linear) -> None:
        self._layer = layer

    @cached_property
    def _columns(self) -> np.ndarray | None:
        """Weights (input, output), made when they are first needed."""
        weight = self._layer.weight.detach()
        single = weight.float()
        # A weight that is not finite times 0 is NaN, which would be missed if zeros are skipped.
        exact = bool(weight.isfinite().all()) and torch.equal(single.double(), weight)
        return single.t().contiguous().numpy() if exact else None

    def __call__(self, x: Tensor) -> Tensor | None:
        """Outputs (sample, output) of inputs (sample, input) of any type; None where that is not worth it."""
        outputs = self._layer.out_features
        if self._layer.weight.device.type != "cpu" or x.numel() * outputs < _WORTH or not _mostly_zero(x):
            return None
        if self._columns is None or x.shape[1] != len(self._columns):
            return None
        output = x.new_zeros((len(x), outputs), dtype=torch.float64)
        if self._layer.bias is not None:
            output += self._layer.bias.detach()
        rows = (x if x.dtype == torch.float32 else x.double()).detach().contiguous().numpy()
        cuts = np.linspace(0, len(rows), threads() + 1).astype(np.int64)
        on_threads(_add_terms, [(rows[a:b], self._columns, output.numpy()[a:b]) for a, b in pairwise(cuts) if b > a])
        return output


def _mostly_zero(x: Tensor) -> bool:
    """Whether inputs (sample, input) are mostly zeros, by some of the samples."""
    if x.dim() != 2 or x.device.type != "cpu" or not x.is_floating_point() or not x.numel():
        return False
    looked_at = x[::_LOOKED_AT]
    return int(looked_at.count_nonzero()) <= _SPARSE * looked_at.numel()


@compiled
def _add_terms(inputs, columns, output):  # type: ignore[no-untyped-def]
    """Add ``inputs`` (sample, input) times ``columns`` (input, output) to the output, four inputs at a time."""
    width, outputs = columns.shape
    place, value = np.empty(width + 4, np.uint32), np.empty(width + 4)
    for sample in range(inputs.shape[0]):
        row, total = inputs[sample], output[sample]
        found = 0
        for k in range(width):
            # Always written, but kept only if nonzero: a branch would be mispredicted at random zeros.
            place[found], value[found] = k, row[k]
            found += 1 if row[k] != 0 else 0
        # Padding with zeros to a multiple of four, so that the loop below needs no remainder.
        for k in range(found, found + 3):
            place[k], value[k] = 0, 0.0
        for k in range(0, found, 4):
            a, b, c, d = columns[place[k]], columns[place[k + 1]], columns[place[k + 2]], columns[place[k + 3]]
            by_a, by_b, by_c, by_d = value[k], value[k + 1], value[k + 2], value[k + 3]
            for j in range(outputs):
                total[j] += by_a * a[j] + by_b * b[j] + by_c * c[j] + by_d * d[j]

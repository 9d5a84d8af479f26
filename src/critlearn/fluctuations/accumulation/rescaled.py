"""Counts of the same changes with another size of each sample's error: what a change would be, had that been so."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float64

from critlearn.fluctuations.accumulation.accumulator import Accumulator
from critlearn.fluctuations.grad_sample.protocol import VariableGradients
from critlearn.fluctuations.result import Fluctuations


class RescaledCounts:
    """Counts of all changes, each sample's multiplied by a factor of its own.

    A learning pass is linear in the output errors, and the logarithm of their size is kept apart: other sizes shift the
    bins in which the same gradients are counted, and take no pass.

    Parameters
    ----------
    counts
        Accumulator that has counted nothing yet.
    log_factor
        Logarithms of the factors; a sample without any error stays without.
    """

    def __init__(self, counts: Accumulator, log_factor: Float64[np.ndarray, " sample"]) -> None:
        self._counts = counts
        self._log_factor = torch.from_numpy(log_factor)

    def add_item(self, item: VariableGradients, samples: int) -> None:
        """Count the changes of one variable, or of a piece of it, for a batch of so many boundary states."""
        start = self._counts.done + item.start
        rows = self._log_factor[start : start + item.grad_sample.samples // item.positions].to(item.log_scale.device)
        shifted = item.log_scale + rows.repeat_interleave(item.positions)
        self._counts.add_item(replace(item, log_scale=shifted), samples)

    def end_batch(self, samples: int) -> None:
        """Note that all variables of a batch of so many boundary states were counted."""
        self._counts.end_batch(samples)

    def result(self) -> Fluctuations:
        """Rescaled changes counted so far, with the pools of layers and of all."""
        return self._counts.result()

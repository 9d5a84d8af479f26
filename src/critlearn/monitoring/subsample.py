"""Subsample: the fixed samples on which fluctuations are measured throughout a training."""

from typing import Any

import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from critlearn.network.checks.inputs import read_pairs
from critlearn.numerics.validation import check_integer

_READ_AT_ONCE = 256
"""Samples read in one batch; it bounds the memory of data sets with large samples."""


class Subsample(TensorDataset):
    """Inputs ``x`` and targets ``t`` of some samples, in memory.

    Where the data set draws augmentations at random, one drawing of each sample is kept.

    Parameters
    ----------
    dataset
        Map-style data set.
    samples
        Number of samples, drawn without replacement; all of a smaller data set.
    seed
        Seed of the drawing.

    Raises
    ------
    InvalidInputError
        If the number is not positive, or the data set does not give pairs of tensors.
    """

    def __init__(self, dataset: Dataset[Any], samples: int, seed: int) -> None:
        check_integer("samples", samples)
        if samples < 1:
            raise InvalidInputError(f"samples must be at least 1; got {samples}")
        size = len(dataset)  # type: ignore[arg-type]
        chosen = torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:samples].sort().values
        batches = list(read_pairs(Subset(dataset, chosen.tolist()), _READ_AT_ONCE))
        super().__init__(*(torch.cat([batch[part] for batch in batches]) for part in (0, 1)))
        self.x, self.t = self.tensors


def subsystem(system: NeuralSystem, samples: int, seed: int) -> NeuralSystem:
    """System of the same network and loss on a subsample; the network must be in eval mode."""
    return NeuralSystem(system.model, system.loss, Subsample(system.dataset, samples, seed))

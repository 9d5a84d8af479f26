"""Subsample: the fixed samples on which fluctuations are measured throughout a training."""

import torch

from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from critlearn.numerics.validation import check_integer


def subsample(system: NeuralSystem, samples: int, seed: int) -> NeuralSystem:
    """System of the same network and loss on some samples in memory; the network must be in eval mode.

    Where the data set draws augmentations at random, one drawing of each sample is kept.

    Parameters
    ----------
    system
        Network, loss and data set.
    samples
        Number of samples, drawn without replacement; all of a smaller data set.
    seed
        Seed of the drawing.

    Raises
    ------
    InvalidInputError
        If the number is not positive.
    """
    check_integer("samples", samples)
    if samples < 1:
        raise InvalidInputError(f"samples must be at least 1; got {samples}")
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(system), generator=generator)[:samples].sort().values
    system.check()
    return system.subsystem(chosen.tolist())

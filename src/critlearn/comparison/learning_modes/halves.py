"""Halves of a data set: of every two successive samples one goes to each, in an order that has no period.

Even and odd numbers would give one class each to the halves of data whose classes take turns.
"""

import torch
from torch import Tensor


def in_half(start: int, samples: int, half: int) -> Tensor:
    """Places, among successive samples of which the first has the number ``start``, of those in half 0 or 1.

    A sample is in the half that the Thue-Morse sequence says: the parity of the ones in its number's binary digits.

    >>> in_half(0, 8, 0).tolist(), in_half(0, 8, 1).tolist()
    ([0, 3, 5, 6], [1, 2, 4, 7])
    """
    numbers = torch.arange(start, start + samples)
    for shift in (32, 16, 8, 4, 2, 1):
        numbers = numbers ^ (numbers >> shift)
    return (numbers & 1 == half).nonzero()[:, 0]


def number_in_data(place: int, half: int) -> int:
    """Number in the data set of the sample with this place in a half.

    >>> [number_in_data(place, 0) for place in range(4)]
    [0, 3, 5, 6]
    """
    return 2 * place + (place.bit_count() + half) % 2

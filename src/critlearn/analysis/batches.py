"""Number of samples that an analysis passes through a network at once."""

from typing import Final

from critlearn.fluctuations.batches import bytes_of_sample
from critlearn.network import NeuralSystem

_VALUES: Final = 4_000_000
"""Fluctuations held at once: 32 MB."""

_LARGEST: Final = 65536
"""Samples passed at once: more makes small networks no faster."""

_SMALLEST: Final = 16
"""Samples passed at once however large the network is: fewer leave the processor idle."""


_HELD: Final = 1 << 28
"""Bytes that a pass holds for its samples, at the least: images and sequences are large where variables are few."""


def batch_size(system: NeuralSystem) -> int:
    """Samples passed at once."""
    variables = sum(value.numel() for value in system.parameters.values())
    wanted = max(_SMALLEST, min(_LARGEST, _VALUES // variables))
    return max(1, min(wanted, _HELD // max(1, bytes_of_sample(system))))

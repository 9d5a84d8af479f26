"""Number of samples that an analysis passes through a network at once."""

from typing import Final

from critlearn.network import NeuralSystem

_VALUES: Final = 4_000_000
"""Fluctuations held at once: 32 MB."""

_LARGEST: Final = 65536
"""Samples passed at once: more makes small networks no faster."""

_SMALLEST: Final = 16
"""Samples passed at once however large the network is: fewer leave the processor idle."""


def batch_size(system: NeuralSystem) -> int:
    """Samples passed at once."""
    variables = sum(value.numel() for value in system.parameters.values())
    return max(_SMALLEST, min(_LARGEST, _VALUES // variables))

"""Memory that the C library keeps for the process after it is freed."""

from functools import cache
from typing import Final

import torch

_LARGEST_HELD: Final = (32 << 20) - (64 << 10)
"""Bytes of the largest block by which glibc raises its thresholds: 32 MiB, less room for what it adds to a block.
It then keeps twice as much freed memory.
"""


@cache
def keep_freed_memory() -> None:
    """Have up to 64 MiB of freed memory kept by the process, once.

    Otherwise glibc gives the memory of every batch back to the system, and asks for it again page by page: a tenth of
    the time of a convolutional network. It stops doing so once a block of this size has been freed, which is
    never written to and takes no memory.
    """
    block = torch.empty(_LARGEST_HELD, dtype=torch.uint8)
    del block

"""How the C library keeps memory that is given back to it."""

from functools import cache
from typing import Final

import torch

_LARGEST_HELD: Final = (32 << 20) - (64 << 10)
"""Bytes of the largest block from which glibc learns: a little below 32 MiB with what it adds."""


@cache
def keep_freed_memory() -> None:
    """Have up to 64 MiB of freed memory kept by the process, once.

    Otherwise glibc gives the memory of every batch back to the system, and asks for it again page by page: a tenth of
    the time of a convolutional network. It stops doing so once it is given back a block of this size, which is
    never written to and takes no memory.
    """
    block = torch.empty(_LARGEST_HELD, dtype=torch.uint8)
    del block

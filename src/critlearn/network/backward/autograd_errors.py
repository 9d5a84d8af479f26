"""What torch refuses, told in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from critlearn.errors import InvalidInputError
from critlearn.numerics.array_file import first_line


@contextmanager
def no_raw_refusal(module: nn.Module) -> Iterator[None]:
    """What torch refuses to differentiate (something worked in place, say) is bad input, in one line.

    Raises
    ------
    InvalidInputError
        If it does.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as problem:
        reason = first_line(problem)
        raise InvalidInputError(f"torch cannot go back through {type(module).__name__}: {reason}") from problem

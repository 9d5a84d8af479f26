"""Translation of torch's errors in a backward pass into critlearn's errors of one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from critlearn.errors import InvalidInputError, first_line


@contextmanager
def translate_autograd_errors(module: nn.Module) -> Iterator[None]:
    """Raise `InvalidInputError` where torch cannot differentiate a module, as after an in-place operation.

    Raises
    ------
    InvalidInputError
        If torch raises a ``RuntimeError``; out-of-memory errors are raised unchanged.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as problem:
        reason = first_line(problem)
        raise InvalidInputError(f"torch cannot go back through {type(module).__name__}: {reason}") from problem

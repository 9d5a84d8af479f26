"""Errors that torch raises in a backward pass, as errors of critlearn in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from critlearn.errors import InvalidInputError
from critlearn.numerics.array_file import first_line


@contextmanager
def translate_autograd_errors(module: nn.Module) -> Iterator[None]:
    """Turn what torch cannot differentiate (an operation in place, say) into bad input, in one line.

    Raises
    ------
    InvalidInputError
        If torch raises a ``RuntimeError``; running out of memory stays what it is.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as problem:
        reason = first_line(problem)
        raise InvalidInputError(f"torch cannot go back through {type(module).__name__}: {reason}") from problem

"""PyTorch, an optional package: who needs it imports this module first, so that a missing one is told in one line."""

from critlearn.errors import MissingPackageError

try:
    import torch as torch
except ModuleNotFoundError as problem:
    if problem.name != "torch":
        raise
    raise MissingPackageError('this needs PyTorch: pip install "critlearn[torch]"') from None

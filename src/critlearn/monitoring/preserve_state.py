"""Preserve the modes of all modules and the states of all random generators while a network is measured."""

import gc
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def preserve_state(model: nn.Module) -> Iterator[None]:
    """Set modules to eval mode and full precision inside; restore their modes and the global generators afterwards.

    The flags are set one by one and not by ``eval()`` and ``train()``: modules that overwrite these may change their
    weights there, as merged adapters do, and would come back with other ones.

    Garbage is collected after a measurement, not in it: a full collection walks through all objects of the process,
    which takes longer than the measurement of a small network (0.3 s).
    """
    modes = [(module, module.training) for module in model.modules()]
    # The global generator of NumPy is what data sets draw from.
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    collecting = gc.isenabled()
    device = next((value.device.type for value in model.parameters()), "cpu")
    try:
        gc.disable()
        for module, _ in modes:
            module.training = False
        with torch.autocast(device, enabled=False), torch.enable_grad():
            yield
    finally:
        if collecting:
            gc.enable()
        for module, mode in modes:
            module.training = mode
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)

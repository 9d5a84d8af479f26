"""Digest of all that decides what a measurement counts: network, loss, data and settings."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from critlearn.fluctuations.quantities import Quantities
from critlearn.network import NeuralSystem
from critlearn.network.batches.boundary_states import boundary_states
from critlearn.network.batches.held_tensors import held_tensors
from critlearn.network.batches.model_inputs import Inputs

_SAMPLED: Final = 64
"""Samples read at the start, in the middle and at the end of a data set that holds no tensors, and samples at whose
outputs the loss is evaluated: enough to tell data sets apart, few enough to be read in no time."""

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+", re.IGNORECASE)
"""Address of an object in its ``repr``, left out because it differs from process to process."""


def fingerprint(
    system: NeuralSystem,
    loader: DataLoader[Any] | None,
    first: tuple[Inputs, Tensor],
    quantities: Quantities,
    settings: Mapping[str, object],
) -> str:
    """SHA-256 of a measurement, the same in every process.

    It covers the modules with their plain attributes and, for a user's own classes, the code of ``forward``; all
    parameters and buffers, frozen ones too; the loss by its name and its output errors; the data, whole where they are
    tensors, otherwise their number and those at the start, in the middle and at the end.

    Parameters
    ----------
    system, loader
        What is measured.
    first
        The first batch.
    quantities, settings
        What is counted, and how.
    """
    digest = hashlib.sha256()
    series = quantities.series
    counted = {
        "units": quantities.units,
        "samples": quantities.samples,
        "series": {name: list(index) for name, index in series.items()} if isinstance(series, Mapping) else series,
        "mini_batch": quantities.mini_batch,
        "without_drift": quantities.without_drift,
        "only": quantities.only,
        "variables": quantities.variables,
        "seed": quantities.seed,
        "axis": quantities.axis,
    }
    words = [
        json.dumps([counted, dict(settings)], sort_keys=True, default=str),
        *_architecture(system.model),
        *_loss_words(system, *first),
    ]
    for word in words:
        digest.update(_ADDRESS.sub("", word).encode() + b"\0")
    for name, value in _tensors(system, loader, first):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\0".encode())
        # Bytes, as NumPy does not know every floating-point type of torch.
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _architecture(model: nn.Module) -> Iterator[str]:
    """Text that describes the modules: their types, plain attributes, own code, and which parameters are trainable."""
    yield repr(model)
    for name, module in model.named_modules():
        kind = type(module)
        # Settings are attributes, which a user's own module need not show in its `repr`.
        plain = {
            key: value
            for key, value in sorted(vars(module).items())
            if not key.startswith("_") and isinstance(value, bool | int | float | str | tuple | list)
        }
        yield f"{name} {kind.__module__}.{kind.__qualname__} {plain}"
        code = getattr(kind.forward, "__code__", None)
        if code is not None and kind.__module__.split(".")[0] not in ("torch", "critlearn"):
            yield f"{code.co_code.hex()} {code.co_names} {code.co_consts}"
    yield str([name for name, value in model.named_parameters() if value.requires_grad])


def _loss_words(system: NeuralSystem, x: Inputs, t: Tensor) -> Iterator[str]:
    """Text that describes the loss: its name and its output errors, to four places, so that rounding does not show."""
    with torch.no_grad():
        y, target = system.forward(x[:_SAMPLED], t[:_SAMPLED])
        # Fixed outputs of both signs in place of the network's, whose parameters are in the digest already.
        y = torch.linspace(-4.3, 4.9, y.numel(), dtype=torch.float64, device=y.device).reshape(y.shape)
        sign, log_size = system.loss.log_output_error(y, target.double() if target.is_floating_point() else target)
    yield system.loss.name
    yield str([f"{value:.4f}" for value in (log_size + 0.0).flatten().tolist()])
    yield str(sign.flatten().tolist())


def _tensors(
    system: NeuralSystem, loader: DataLoader[Any] | None, first: tuple[Inputs, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """Parameters, buffers and data, with names."""
    yield from system.model.named_parameters()
    yield from system.model.named_buffers()
    yield from _named("first", *first)
    dataset: Any = system.dataset if loader is None else loader.dataset
    whole = held_tensors(dataset)
    if whole is not None:
        yield from ((f"data {place}", value) for place, value in enumerate(whole))
        return
    states = system.states if loader is None else boundary_states(loader, system.reader)
    number = len(states)
    yield "samples", torch.tensor(number)
    for start in (0, max(0, number // 2 - _SAMPLED // 2), max(0, number - _SAMPLED)):
        yield from _named(f"data from {start}", *states.chosen(list(range(start, min(start + _SAMPLED, number)))))


def _named(name: str, x: Inputs, t: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Tensors of some samples, with names."""
    for place, value in enumerate((x,) if isinstance(x, Tensor) else x.tensors):
        yield f"{name}, input {place}", value
    yield f"{name}, target", t

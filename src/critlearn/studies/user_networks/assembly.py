"""System of a user's own network, from what a command line names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from critlearn.compositions.named.resolve import composition_of
from critlearn.compositions.output_loss import OutputLoss
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from critlearn.studies.config import activation_of, checked_device, loss_of
from critlearn.studies.datasets.class_data import ClassData
from critlearn.studies.datasets.loading import load_data
from critlearn.studies.import_paths import import_object, is_import_path, made
from critlearn.studies.user_networks.checkpoint import load_checkpoint

CROSS_ENTROPY: Final = "cross-entropy"
"""Name of the loss of classes, which takes logits of samples or of positions."""

_OF_PROBABILITY: Final = ("bce", "focal", "hellinger")
"""Losses of a probability: without another activation they stand behind a sigmoid."""


@dataclass(frozen=True)
class NetworkOptions:
    """What a command line names of a network.

    Parameters
    ----------
    network
        ``file.py:name`` or ``package.module:name`` of a function without arguments that returns a network, or network,
        loss and data, or a `NeuralSystem`.
    checkpoint
        File of its weights; those that the function gives it if None.
    loss, activation
        Names, or import paths; those that the function gives if None.
    data, target, columns, drop
        Data set by name, file or import path, and columns of a table, as for `load_data`; those that the function
        gives if None.
    seed
        Seed of synthetic data.
    device
        Device of torch.
    arguments
        Arguments for those of the function's parameters that have these names.
    """

    network: str
    checkpoint: Path | None = None
    loss: str | None = None
    activation: str | None = None
    data: str | None = None
    target: str | None = None
    columns: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    seed: int = 0
    device: str = "cpu"
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class NamedSystem:
    """System, and where its data come from, in words."""

    system: NeuralSystem
    source: str | None


def named_system(options: NetworkOptions) -> NamedSystem:
    """System that a command line names.

    Raises
    ------
    InvalidInputError
        If something is missing, or does not fit.
    DataError
        If the checkpoint or the data cannot be read.
    """
    device = checked_device(options.device)
    if options.activation is not None and options.loss is None:
        raise InvalidInputError("--activation stands before a loss: give --loss, too")
    if options.data is None and (options.target is not None or options.columns or options.drop):
        raise InvalidInputError("--target, --columns and --drop choose columns of data: give --data, too")
    given = _given(options.network, options.arguments)
    model = (
        given.model.eval() if options.checkpoint is None else load_checkpoint(given.model, options.checkpoint).eval()
    )
    model = model.to(device)
    if given.system is not None:
        if options.loss is not None or options.data is not None:
            raise InvalidInputError(
                f'"{options.network}" gives a NeuralSystem, which has its loss and data: leave out --loss and --data'
            )
        return NamedSystem(given.system, None)
    loss = given.loss if options.loss is None else _named_loss(options.loss, options.activation)
    data: Any = given.data
    source = None
    if options.data is not None:
        data, source = _named_data(options, loss)
    for name, value, option in (("loss", loss, "--loss bce"), ("data", data, "--data digits:3v8")):
        if value is None:
            raise InvalidInputError(
                f'"{options.network}" gives no {name}: let it return (model, loss, data), or name it, as in {option}'
            )
    return NamedSystem(NeuralSystem(model, loss, data), source)


@dataclass(frozen=True, eq=False)
class _Given:
    """What a user's function returns."""

    model: nn.Module
    loss: Any = None
    data: Any = None
    system: NeuralSystem | None = None


def _given(path: str, arguments: Mapping[str, Any]) -> _Given:
    """Network, and loss and data if any, that a path names."""
    if not is_import_path(path):
        raise InvalidInputError(f'a network is named as file.py:name or package.module:name; got "{path}"')
    found = import_object(path, "network")
    if not isinstance(found, (nn.Module, NeuralSystem)):
        if not callable(found):
            raise InvalidInputError(
                f'network "{path}" is a {type(found).__name__}, not a function that makes a network'
            )
        found = made(found, path, "network", arguments)
    if isinstance(found, NeuralSystem):
        return _Given(found.model, found.loss, found.dataset, found)
    if isinstance(found, nn.Module):
        return _Given(found)
    if isinstance(found, tuple) and len(found) == 3 and isinstance(found[0], nn.Module):
        return _Given(*found[:2], _as_data_set(found[2]))
    shown = tuple(type(part).__name__ for part in found) if isinstance(found, tuple) else type(found).__name__
    raise InvalidInputError(
        f'network "{path}" returns {shown}; wanted is a torch.nn.Module, or (model, loss, data), or a NeuralSystem'
    )


def _named_loss(name: str, activation: str | None) -> OutputLoss | nn.Module | Callable[..., Any]:
    """Loss of a name, behind an activation; any function ``(y, t) -> value`` of the user's own."""
    if is_import_path(name):
        found = import_object(name, "loss")
        if isinstance(found, type):
            found = made(found, name, "loss")
        if activation is None and callable(found):
            return found
    if name == CROSS_ENTROPY and activation in (None, "softmax"):
        return nn.CrossEntropyLoss()
    behind = activation or ("sigmoid" if name in _OF_PROBABILITY else "identity")
    return composition_of(activation_of(behind), loss_of(name))


def _named_data(options: NetworkOptions, loss: Any) -> tuple[Any, str | None]:
    """Data set, with targets as the loss takes them, and its origin."""
    assert options.data is not None
    if is_import_path(options.data):
        found = import_object(options.data, "data set")
        if callable(found) and not isinstance(found, (Dataset, torch.utils.data.DataLoader)):
            found = made(found, options.data, "data set")
        return _as_data_set(found), options.data
    classes = load_data(
        options.data, target=options.target, columns=options.columns, drop=options.drop, seed=options.seed
    )
    return _for_loss(classes, loss), classes.source


def _for_loss(data: ClassData, loss: Any) -> TensorDataset:
    """Data set of classes with the targets that a loss takes."""
    if isinstance(loss, OutputLoss):
        return data.boundary(loss)
    if isinstance(loss, (nn.BCEWithLogitsLoss, nn.BCELoss)):
        return TensorDataset(data.x, (0.5 * (data.signs + 1.0))[:, None])
    return TensorDataset(data.x, data.labels)


def _as_data_set(data: Any) -> Any:
    """Data as they are, or a pair of tensors as a data set."""
    if isinstance(data, (tuple, list)) and len(data) == 2 and all(isinstance(part, Tensor) for part in data):
        return TensorDataset(*data)
    if isinstance(data, Mapping):
        raise InvalidInputError("data are a data set or a loader, or a pair of tensors; got a dictionary")
    return data

"""Checks before the first cell is run: every composition, density, data set, device and quantity must exist."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from critlearn.compositions.catalogue.activations import SOFTMAX
from critlearn.compositions.catalogue.losses import CROSS_ENTROPY
from critlearn.compositions.named.resolve import composition_of
from critlearn.compositions.typed.coerce import as_activation, as_loss
from critlearn.errors import CritlearnError, InvalidInputError, unknown_name
from critlearn.network.modules import hidden_activation
from critlearn.prediction import parse_density
from critlearn.studies.config import (
    OWN,
    ClassesConfig,
    DenseConfig,
    NetworkConfig,
    RunConfig,
    ToyConfig,
    activation_of,
    checked_device,
    loss_of,
)
from critlearn.studies.datasets.loading import load_data
from critlearn.studies.import_paths import import_object, is_import_path
from critlearn.studies.sweep.study.cells import Cell, expand
from critlearn.studies.sweep.study.locations import StudyError, location_of
from critlearn.studies.sweep.study.schema import Study


def check_study(study: Study) -> tuple[Cell, ...]:
    """Cells of a study, after a check that everything they name exists.

    Data sets are read once, except those of OpenML, which the runs fetch. Whether a device exists is checked on the
    machine that runs the cell.

    Raises
    ------
    StudyError
        If a cell names something that does not exist.
    InvalidInputError
        As `expand`.
    """
    cells = expand(study)
    for cell in cells:
        for setting, check in _checks(cell.config):
            with _located(study, setting, getattr(cell.config, setting)):
                check()
    _check_quantities(study, cells)
    return cells


def check_devices(study: Study) -> None:
    """Raise if this machine, on which the cells are to be run, lacks a device of the study.

    Raises
    ------
    StudyError
        If it does.
    """
    for device in dict.fromkeys(cell.config.device for cell in expand(study)):
        with _located(study, "device", device):
            checked_device(device)


def _checks(config: RunConfig) -> Iterator[tuple[str, Callable[[], object]]]:
    """Settings of a cell, each with a function that raises if what it names does not exist."""
    yield "device", lambda: _once(_device, config.device)
    if isinstance(config, NetworkConfig):
        yield "network", lambda: _once(import_object, config.network, "network")
    if OWN not in (config.activation, config.loss):
        yield "activation", lambda: _once(_activation, config.activation)
        yield "loss", lambda: _once(_loss, config.loss)
        yield "loss", lambda: _once(_composition, config.activation, config.loss)
    if isinstance(config, DenseConfig):
        yield "hidden_activation", lambda: _once(hidden_activation, config.hidden_activation)
    if isinstance(config, ToyConfig) and config.data is None:
        yield "inputs", lambda: _once(parse_density, config.inputs)
    own = isinstance(config, NetworkConfig)
    if own and config.data is not None and is_import_path(config.data):
        yield "data", lambda: _once(import_object, config.data, "data set")
    elif config.data is not None and not config.data.startswith("openml:"):
        more = isinstance(config, ClassesConfig) or own
        yield "data", lambda: _once(_data, config.data, config.target, config.columns, config.drop, more)


@cache
def _once(check: Callable[..., object], *arguments: Any) -> None:
    """Call a check once for all cells with the same arguments; a check that raises is called, and raises, each time."""
    check(*arguments)


def _activation(text: str) -> None:
    if text != SOFTMAX:
        as_activation(activation_of(text))


def _loss(text: str) -> None:
    if text != CROSS_ENTROPY:
        as_loss(loss_of(text))


def _composition(activation: str, loss: str) -> None:
    composition_of(activation_of(activation), loss_of(loss))


def _data(name: str, target: str | None, columns: tuple[str, ...], drop: tuple[str, ...], more: bool) -> None:
    dataset = load_data(name, target=target, columns=columns, drop=drop)
    if not more:
        dataset.require_two_classes()


def _device(name: str) -> None:
    try:
        torch.device(name)
    except RuntimeError:
        raise InvalidInputError(f'"{name}" is not a device of torch, such as cpu or cuda:0') from None


@contextmanager
def _located(study: Study, setting: str, value: Any) -> Iterator[None]:
    """Add to an error the location of the setting in the study file."""
    try:
        yield
    except CritlearnError as problem:
        raise StudyError(location_of(study, setting, value), str(problem)) from problem


def _check_quantities(study: Study, cells: tuple[Cell, ...]) -> None:
    """Raise if no cell has one of the quantities that are to be measured."""
    measured = [cell.config.quantities() for cell in cells]
    if None in measured:
        # Only the function of a user's network knows them.
        return
    known = dict.fromkeys(name for names in measured for name in names or ())
    known |= dict.fromkeys(name for cell in cells for name in cell.config.over_time)
    for number, name in enumerate(study.measure.quantities or ()):
        if name not in known:
            raise StudyError(("measure", "quantities", number), str(unknown_name("quantity", name, known)))

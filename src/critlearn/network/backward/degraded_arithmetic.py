"""Passes in degraded arithmetic, with fewer digits or a smaller range: where they fail shows where ordinary ones would.

A pass in single precision has both at once, so that it does not tell rounding from underflow; and networks that hold
tensors of double precision cannot make it. Here digits and range are reduced one at a time.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

_DROPPED: Final = {torch.float64: 29, torch.float32: 12}
"""Binary digits that are rounded away: double precision keeps the 24 of single precision, which keeps half of them."""

_FLUSHED: Final = {torch.float64: -500, torch.float32: -60}
"""Binary exponents below which numbers are taken for zero: about half of the range."""


class DegradedArithmetic(TorchDispatchMode):
    """Context in which the result of every operation of torch is degraded.

    Parameters
    ----------
    degrade
        `rounded` or `flushed`.
    """

    def __init__(self, degrade: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._degrade = degrade

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Result of one operation."""
        result = func(*args, **(kwargs or {}))
        if func._schema.is_mutable:
            return tree_map(lambda part: part.copy_(self._degrade(part)) if _is_number(part) else part, result)
        if any(returned.alias_info is not None for returned in func._schema.returns):
            # A view of numbers that have been degraded before.
            return result
        return tree_map(lambda part: self._degrade(part) if _is_number(part) else part, result)


def _is_number(part: Any) -> bool:
    return isinstance(part, Tensor) and part.dtype in _DROPPED


def rounded(value: Tensor) -> Tensor:
    """Numbers rounded to their leading digits by Dekker's splitting; what is too large for it stays as it is."""
    multiple = value * (2.0 ** _DROPPED[value.dtype] + 1)
    leading = multiple - (multiple - value)
    return torch.where(torch.isfinite(leading), leading, value)


def flushed(value: Tensor) -> Tensor:
    """Numbers with those below 2^-500 (2^-60 in single precision) replaced by zero."""
    return torch.where(value.abs() < 2.0 ** _FLUSHED[value.dtype], 0.0, value)


def log_gain(degrade: Callable[[Tensor], Tensor], precision: torch.dtype) -> float:
    """Logarithm of how much smaller numbers ordinary arithmetic resolves than the degraded one does."""
    if degrade is rounded:
        return _DROPPED[precision] * math.log(2)
    return math.log(2) * _FLUSHED[precision] - math.log(torch.finfo(precision).tiny)

"""Passes with worse numbers than they have: what is wrong in them shows where numbers as they are go wrong.

A pass in single precision would not tell rounding from underflow, and is beyond networks that hold numbers of their own
in double precision. Here the two are made worse one at a time.
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
    """While it lasts, the results of all operations are made worse.

    Parameters
    ----------
    worsen
        `rounded` or `flushed`.
    """

    def __init__(self, worsen: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._worsen = worsen

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Result of one operation."""
        result = func(*args, **(kwargs or {}))
        if func._schema.is_mutable:
            return tree_map(lambda part: part.copy_(self._worsen(part)) if _is_number(part) else part, result)
        if any(returned.alias_info is not None for returned in func._schema.returns):
            # A view of what has been dealt with.
            return result
        return tree_map(lambda part: self._worsen(part) if _is_number(part) else part, result)


def _is_number(part: Any) -> bool:
    return isinstance(part, Tensor) and part.dtype in _DROPPED


def rounded(value: Tensor) -> Tensor:
    """Numbers rounded to their leading digits by Dekker's splitting; what is too large for it stays as it is."""
    multiple = value * (2.0 ** _DROPPED[value.dtype] + 1)
    leading = multiple - (multiple - value)
    return torch.where(torch.isfinite(leading), leading, value)


def flushed(value: Tensor) -> Tensor:
    """Numbers of which small ones are zero."""
    return torch.where(value.abs() < 2.0 ** _FLUSHED[value.dtype], 0.0, value)


def log_gain(worsen: Callable[[Tensor], Tensor], precision: torch.dtype) -> float:
    """By how much the logarithm of the smallest resolved number is lower with numbers as they are."""
    if worsen is rounded:
        return _DROPPED[precision] * math.log(2)
    return math.log(2) * _FLUSHED[precision] - math.log(torch.finfo(precision).tiny)

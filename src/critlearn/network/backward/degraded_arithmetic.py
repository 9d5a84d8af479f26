"""Degraded arithmetic, with fewer digits or a smaller range, to find where rounding or underflow spoils a pass.

Single precision reduces both at once, so a pass in it does not distinguish rounding from underflow; and networks that
hold tensors of double precision cannot run in it. Here digits and range are reduced one at a time.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

_DROPPED: Final = {torch.float64: 29, torch.float32: 12}
"""Binary digits that are rounded away: double precision keeps 24 of 53, single precision 12 of 24."""

_FLUSHED: Final = {torch.float64: -500, torch.float32: -60}
"""Binary exponents below which numbers are set to zero: about half of the exponents below 0."""


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
            # A view of numbers that are degraded already.
            return result
        return tree_map(lambda part: self._degrade(part) if _is_number(part) else part, result)


def _is_number(part: Any) -> bool:
    return isinstance(part, Tensor) and part.dtype in _DROPPED


def rounded(value: Tensor) -> Tensor:
    """Round numbers to their leading digits by Dekker's splitting; numbers that would overflow in it are kept."""
    multiple = value * (2.0 ** _DROPPED[value.dtype] + 1)
    leading = multiple - (multiple - value)
    return torch.where(torch.isfinite(leading), leading, value)


def flushed(value: Tensor) -> Tensor:
    """Replace numbers below 2^-500 (2^-60 in single precision) by zero."""
    return torch.where(value.abs() < 2.0 ** _FLUSHED[value.dtype], 0.0, value)


def log_gain(degrade: Callable[[Tensor], Tensor], precision: torch.dtype) -> float:
    """Logarithm of the factor by which the degraded arithmetic raises the smallest number that is resolved."""
    if degrade is rounded:
        return _DROPPED[precision] * math.log(2)
    return math.log(2) * _FLUSHED[precision] - math.log(torch.finfo(precision).tiny)

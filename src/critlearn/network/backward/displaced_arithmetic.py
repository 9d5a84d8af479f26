"""Displaced arithmetic, in which every operation is off by its own rounding, to find where rounding spoils a pass.

A complement ``1 - p`` of a number that has been rounded to 1 is 0 in any precision that rounds it so, and a pass with
fewer digits finds the same zero. Displaced at random by about one spacing of numbers, it is not 0: what a pass owes to
rounding changes, and by how much tells its size (Monte Carlo arithmetic: Parker, 1997). Products that underflow to 0
become the smallest normal number here, so that what hangs on them is no zero either.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

_EXACT: Final = frozenset(
    name
    for line in (
        "_reshape_copy _to_copy _unsafe_view abs alias amax amin arange argmax as_strided_scatter bernoulli cat clamp",
        "clamp_max clamp_min clone constant_pad_nd contiguous copy diagonal_backward embedding empty empty_like",
        "empty_strided eye fill flip full full_like gather index index_put index_select lift_fresh lift_fresh_copy",
        "masked_fill masked_scatter masked_select max max_pool2d_with_indices max_pool2d_with_indices_backward",
        "max_pool3d_with_indices max_pool3d_with_indices_backward maximum min minimum neg new_empty new_empty_strided",
        "new_full new_ones new_zeros ones ones_like rand rand_like randn randn_like relu repeat resize roll",
        "scalar_tensor scatter select_backward select_scatter set slice_backward slice_scatter sgn sign sort",
        "stack threshold threshold_backward topk tril triu unfold_backward uniform unsafe_split",
        "unsafe_split_with_sizes where zero zeros zeros_like",
    )
    for name in line.split()
)
"""Operations that move numbers or choose among them, and round nothing."""

_PRODUCTS: Final = frozenset(
    name
    for line in (
        "_softmax div elu_backward erfc exp exp2 gelu_backward log_sigmoid_backward mish_backward mul pow reciprocal",
        "sigmoid sigmoid_backward silu silu_backward softplus softplus_backward square tanh_backward",
    )
    for name in line.split()
)
"""Operations whose result is 0 only if an argument is, or minus infinity, or if it has underflowed."""


_DRAWN: Final = 1 << 18
"""Displacements that are drawn; results of one operation after the other take them from different places."""

_STRIDE: Final = 7919
"""Distance of the places at which two operations begin: a prime number, so that no layer begins where another did."""


@cache
def _factors(kind: torch.dtype) -> Tensor:
    """Factors 1, ``1 - e`` or ``1 - 2 e``, twice the same, so that as many can be taken from any place on."""
    # From a generator of its own, with a fixed seed: a floor must not change from one measurement to the next.
    steps = torch.randint(0, 3, (_DRAWN,), generator=torch.Generator().manual_seed(0), dtype=torch.int8)
    return 1 - torch.finfo(kind).eps * steps.repeat(2).to(kind)


class DisplacedArithmetic(TorchDispatchMode):
    """Context in which every result of torch is displaced at random by about one spacing of numbers.

    Towards zero, so that a probability stays one: functions refuse numbers beyond 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self._at = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Asked by torch: its compiler, which would have to be skipped, takes a second to be imported.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Result of one operation."""
        name = func._schema.name.removeprefix("aten::")
        in_place = func._schema.is_mutable
        name = name.removesuffix("_") if in_place else name
        product = name in _PRODUCTS
        # Factors are looked at afterwards, when an operation in place has overwritten one.
        factors = [part.clone() if in_place and isinstance(part, Tensor) else part for part in args] if product else []
        result = func(*args, **(kwargs or {}))
        if name in _EXACT or (not in_place and any(part.alias_info is not None for part in func._schema.returns)):
            return result

        def displaced(part: Any) -> Any:
            if not (isinstance(part, Tensor) and part.dtype in (torch.float64, torch.float32)):
                return part
            value = self._displaced(part)
            if product and bool((part == 0).any()):
                present = _nowhere_zero(name, factors)
                if present is not None and present.shape == part.shape:
                    value = torch.where((part == 0) & present, torch.finfo(part.dtype).tiny, value)
            return part.copy_(value) if in_place else value

        return tree_map(displaced, result)

    def _displaced(self, value: Tensor) -> Tensor:
        """Numbers times 1, ``1 - e`` or ``1 - 2 e``."""
        self._at = (self._at + _STRIDE) % _DRAWN
        factors = _factors(value.dtype)[self._at : self._at + _DRAWN].to(value.device)
        flat = value.reshape(-1)
        whole = len(flat) // _DRAWN * _DRAWN
        rest = flat[whole:] * factors[: len(flat) - whole]
        if whole:
            rest = torch.cat([(flat[:whole].reshape(-1, _DRAWN) * factors).flatten(), rest])
        return rest.reshape(value.shape)


def _nowhere_zero(name: str, arguments: Sequence[Any]) -> Tensor | None:
    """Where no factor of a product is zero; None if the arguments are not known."""
    tensors = [part for part in arguments if isinstance(part, Tensor)]
    if not tensors or not all(part.is_floating_point() for part in tensors):
        return None
    if name == "mul":
        present = [part != 0 for part in tensors] + [torch.tensor(part != 0) for part in arguments if _number(part)]
        whole = torch.broadcast_tensors(*present)
        return torch.stack(whole).all(dim=0)
    if name in ("div", "pow", "square", "reciprocal") or name.endswith("_backward"):
        # The divisor, or the exponent, or what the slope is taken at, makes no zero of its own.
        shapes = [part.shape for part in tensors]
        return (tensors[0] != 0).expand(torch.broadcast_shapes(*shapes))
    infinite = torch.isneginf(tensors[0]) if name != "erfc" else torch.isposinf(tensors[0])
    return ~infinite & (tensors[0] != 0 if name == "silu" else True)


def _number(part: Any) -> bool:
    return isinstance(part, int | float) and not isinstance(part, bool)

"""Links of a learning pass for which single precision suffices, and the checks of each batch that it does.

Layers that sum over places (convolutions, dense layers over sequences) take most of the time of a pass, and in double
precision twice as much. In either precision their sums have rounding errors of the order of the spacing of the largest
terms; what must be excluded in single precision is underflow. Errors are therefore scaled to unit size for each sample,
and every factor and error that could come near the ends of the range is checked.
"""

import math
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from critlearn.network.batches.model_inputs import Inputs
from critlearn.numerics.kernels.float_range import single_range

SMALLEST: Final = 1e-30
"""Size of errors, and of factors that multiply them, below which a batch is run in double precision."""

_SMALLEST_PRODUCT: Final = 1e-36
"""Size below which a product of an input and an error may lose digits: a hundred times the smallest normal number."""

_LARGEST: Final = 1e30
"""Size above which a sum of up to 1e8 terms may overflow."""

_REGULAR: Final = frozenset(
    name
    for line in (
        "Add Addmm AdaptiveAvgPool2D Alias AsStrided AvgPool2D AvgPool3D Baddbmm Bmm Cat Clone ConstantPadNd",
        "Convolution Div Embedding Expand Index LeakyRelu MaskedFill MaxPool2DWithIndices MaxPool3DWithIndices Mean Mm",
        "Mul NativeBatchNorm NativeGroupNorm NativeLayerNorm Neg NllLoss Permute ReflectionPad1D ReflectionPad2D Relu",
        "Repeat ReplicationPad1D ReplicationPad2D ReshapeAlias Rsqrt Rsub Select Slice Split SplitWithSizes Sqrt Stack",
        "Squeeze Sub Sum T Threshold ToCopy Transpose Unbind Unfold UnsafeSplit UnsafeView Unsqueeze View",
        "AccumulateGrad",
    )
    for name in line.split()
)
"""Operations whose derivatives are constants or values of the pass, none of which is exponentially small."""

_SATURATING: Final = (
    *("_ExactActivation", "_ExactAttention", "_ExactGelu", "_ExactLogSoftmax", "_ExactSoftmax", "LogSoftmax", "Pow"),
    *("ScaledDotProduct", "Silu", "Softmax"),
)
"""Operations whose derivatives may be exponentially small; their saved values bound how small."""


_STEEPEST: Final = 4
"""Largest power whose derivatives count as values of the pass: of a value of 1e-10 it is 1e-30."""


_STEEPEST_AT_ZERO: Final = ("tanh", "sigmoid", "softsign")
"""Activations whose slope falls with the distance from 0, so that their smallest one is at an end."""


class BeyondSingleError(Exception):
    """Raised if a batch has numbers near the ends of the range of single precision and needs double precision."""


def check_errors(*tensors: Tensor | None) -> None:
    """Raise if errors are near the ends of the range of single precision.

    Raises
    ------
    BeyondSingleError
        If a size is below `SMALLEST` and not 0, or too large.
    """
    for tensor in tensors:
        if tensor is not None and tensor.dtype == torch.float32:
            least, greatest = size_range(tensor)
            # Also if it is no number.
            if not (least >= SMALLEST and greatest <= _LARGEST):
                raise BeyondSingleError


def check_logs(logs: Tensor | None) -> None:
    """Raise if some errors with these logarithms would be lost in single precision.

    Raises
    ------
    BeyondSingleError
        If there are any.
    """
    if logs is not None:
        finite = torch.where(torch.isneginf(logs), 0.0, logs)
        if float(finite.amin()) < math.log(SMALLEST):
            raise BeyondSingleError


def check_products(errors: tuple[Tensor, ...], arguments: Any) -> None:
    """Raise if products of a layer's errors and inputs might underflow or overflow.

    Raises
    ------
    BeyondSingleError
        If there are any.
    """
    # The inputs of a whole network may be several tensors in one argument.
    parts = tree_leaves(arguments)
    inputs = [size_range(part) for part in parts if isinstance(part, Tensor) and part.dtype == torch.float32]
    for error in errors:
        least, greatest = size_range(error)
        # Also if it is no number.
        if not (least >= SMALLEST and greatest <= _LARGEST):
            raise BeyondSingleError
        for smallest, largest in inputs:
            if least * smallest < _SMALLEST_PRODUCT or greatest * largest > _LARGEST:
                raise BeyondSingleError


def size_range(tensor: Tensor) -> tuple[float, float]:
    """Smallest nonzero size and largest size; infinity and 0 if all are 0."""
    found = tensor.detach()
    if found.device.type == "cpu":
        # Read in memory order: a contiguous copy would cost more than the search.
        dense = found.as_strided((found.numel(),), (1,)) if _filled(found) else found.contiguous()
        return single_range(dense.numpy())
    size = found.abs()
    return float(torch.where(size > 0, size, math.inf).amin()), float(size.amax())


def _filled(tensor: Tensor) -> bool:
    """Whether the numbers fill a contiguous stretch of memory, in any order of dimensions."""
    expected = 1
    for length, stride in sorted(zip(tensor.shape, tensor.stride(), strict=True), key=lambda pair: pair[1]):
        if length > 1:
            if stride != expected:
                return False
            expected *= length
    return tensor.numel() > 0


@torch.no_grad()
def fits(produced: Tensor) -> bool:
    """Whether no factor by which automatic differentiation multiplies errors is exponentially small.

    Walks the graph of operations. Known operations whose derivatives may be exponentially small are checked by their
    saved values; unknown operations count as unfit.
    """
    seen: set[Any] = set()
    waiting = [produced.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = type(node).__name__
        if name.startswith(_SATURATING):
            try:
                unsaturated = _unsaturated(name, node)
            except RuntimeError:
                # Activation checkpointing has not kept what the operation saved.
                unsaturated = False
            if not unsaturated:
                return False
        elif name.split("Backward")[0] not in _REGULAR:
            return False
        waiting.extend(following for following, _ in node.next_functions)
    return True


def _unsaturated(name: str, node: Any) -> bool:
    """Whether the derivatives of an operation are not exponentially small."""
    if name.startswith("_ExactActivation"):
        (at,) = node.saved_tensors
        if node.activation.name in _STEEPEST_AT_ZERO:
            at = torch.stack([at.detach().amin(), at.detach().amax()])
        return float(node.activation.log_slope(at).amin()) > math.log(SMALLEST)
    if name.startswith("_ExactGelu"):
        (at,) = node.saved_tensors
        # The derivative falls as exp(-y^2 / 2) for y -> -inf.
        return float(at.amin()) > -math.sqrt(-2 * math.log(SMALLEST))
    if name.startswith("Silu"):
        # The derivative falls as y exp(y) for y -> -inf.
        return float(node._saved_self.detach().amin()) > math.log(SMALLEST)
    if name.startswith("Pow"):
        # Derivatives of other powers grow with a value's distance from 0, or fall with a root of it.
        return bool(0 < node._saved_exponent <= _STEEPEST) if name.startswith("PowBackward0") else False
    if name.startswith(("_ExactLogSoftmax", "LogSoftmax")):
        logs = node.saved_tensors[0] if name.startswith("_") else node._saved_result
        return float(logs.detach().amin()) > math.log(SMALLEST)
    if name.startswith("_ExactSoftmax"):
        return float(node.saved_tensors[0].detach().amin()) > SMALLEST
    if name.startswith("Softmax"):
        return float(node._saved_result.detach().amin()) > SMALLEST
    exact = name.startswith("_ExactAttention")
    query, key = node.saved_tensors[:2] if exact else (node._saved_query, node._saved_key)
    query, key = query.detach(), key.detach()
    # Bound on the difference of two attention scores, and so on -ln of a softmax probability up to the count.
    scale = node.scale if exact else getattr(node, "_saved_scale", None)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else abs(float(scale))
    longest = 2 * float(query.norm(dim=-1).amax()) * float(key.norm(dim=-1).amax()) * scale
    mask = node.saved_tensors[3] if exact else None
    if mask is not None:
        # A key that is excluded has no weight; one with a finite number may have a small one.
        finite = mask.detach()[torch.isfinite(mask)]
        longest += float(finite.amax() - finite.amin()) if len(finite) else 0.0
    return longest < -math.log(SMALLEST)


def sums_over_places(link: nn.Module, x: Inputs) -> tuple[bool, Tensor]:
    """Whether some layer of a link takes sequences or images, and the output of the link.

    Parameters
    ----------
    x
        Input of the part for some samples.
    """
    met: list[bool] = []

    def look(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
        if next(module.parameters(recurse=False), None) is not None:
            parts = (*arguments, *keywords.values())
            met.append(any(isinstance(part, Tensor) and part.dim() > 2 for part in parts))

    handles = [module.register_forward_hook(look, with_kwargs=True) for module in link.modules()]
    try:
        result = link(x)
    finally:
        for handle in handles:
            handle.remove()
    return any(met), result


def suits(link: nn.Module, produced: Any) -> bool:
    """Whether a link may run in single precision, judged by the graph of its output for some samples."""
    own = {value.dtype for value in link.parameters()}
    return (
        own == {torch.float32} and isinstance(produced, Tensor) and produced.dtype == torch.float32 and fits(produced)
    )

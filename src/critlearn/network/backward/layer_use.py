"""Use of a layer in a pass: its inputs, and the errors at its outputs."""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from critlearn.network.batches.model_inputs import in_type


@dataclass(frozen=True, eq=False)
class LayerUse:
    """One use of a layer in the activation pass of a batch, and the errors at its outputs.

    Parameters
    ----------
    layer
        Name of the module in the network.
    module
        The module, in the precision of the pass.
    arguments, keywords
        Arguments of the call; tensors are detached. Inputs of a dense layer may be of a coarser type than its errors,
        which holds them exactly (see `in_one_precision`).
    errors
        For each tensor among its outputs the errors ``dl/d output`` in units of ``exp(log_scale)``.
    log_errors
        ``ln|error|`` of the first output in the same units, where it is known even below the smallest number.
    log_scale
        Logarithm of the unit, shape (sample,), double precision; ``-inf`` for a sample without any error.
    """

    layer: str
    module: nn.Module
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    errors: tuple[Tensor, ...]
    log_errors: Tensor | None
    log_scale: Tensor

    def in_one_precision(self) -> "LayerUse":
        """Convert the inputs to the floating-point type of the errors and of the module."""
        kind = self.errors[0].dtype
        arguments = (in_type(part, kind) if isinstance(part, Tensor) else part for part in self.arguments)
        return replace(self, arguments=tuple(arguments))

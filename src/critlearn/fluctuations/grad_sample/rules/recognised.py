"""Layers of a user's own that are recognised by what they do with numbers, never by their names.

Every library writes its own normalisations and dense layers: `LlamaRMSNorm`, `T5LayerNorm`, `Conv1D`, a layer's scales.
A copy of such a layer is passed with numbers drawn at random once, when a measurement starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from critlearn.errors import RAISED_BY_USER_CODE
from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.outer_products import OuterProducts
from critlearn.fluctuations.grad_sample.protocol import GradSample
from critlearn.fluctuations.grad_sample.rules.registry import (
    LayerRule,
    UnsuitableUseError,
    only_tensor,
    recognise,
    samples_first,
)
from critlearn.network.backward.layer_use import LayerUse
from critlearn.network.copying import copied

_AGREEMENT: Final = 1e-5
"""Relative difference that is rounding: many normalisations round to single precision inside (6e-8 for each step)."""

_LARGEST: Final = 1 << 24
"""Variables of a dense layer that is looked at: it is copied and multiplied twice, 0.1 s for this size."""


@dataclass(frozen=True)
class EntrywiseRule:
    """Rule for outputs that are linear in vectors of weights, entry by entry: ``y_i = f_i(x) + w_i z_i(x)``.

    That is what the weights of all normalisations, scales and shifts do. With ``z_i(x)`` as the layer itself gives it,
    for a weight of 1 less that for 0, ``dw_i = sum over places of e_i z_i(x)``.

    Parameters
    ----------
    axis
        Dimension of the output along which the entries of the weights lie.
    """

    axis: int
    layers: tuple[type[nn.Module], ...] = ()
    covers_submodules: bool = False

    def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
        """Gradients of all vectors."""
        inputs, errors = samples_first(use, only_tensor(use)), use.errors[0]
        found: dict[str, GradSample] = {}
        for name, factor in _factors(use.module, inputs).items():
            width = len(getattr(use.module, name))
            if errors.dim() < 2 or width not in (1, errors.shape[self.axis]):
                raise UnsuitableUseError(f"{width} weights for an output of shape {tuple(errors.shape)}")
            terms = (errors * factor).movedim(self.axis, -1)
            found[name] = Materialised(terms.reshape(len(inputs), -1, width).sum(dim=1))
        return found


@dataclass(frozen=True)
class OwnDenseRule:
    """Rule for dense layers that are none of torch's: ``x W^T + b``, or ``x W + b`` as Hugging Face's ``Conv1D``.

    Parameters
    ----------
    weight
        Name of the matrix.
    bias
        Name of the vector; None if there is none.
    inputs_first
        Whether rows of the matrix belong to inputs, and columns to outputs.
    """

    weight: str
    bias: str | None
    inputs_first: bool
    layers: tuple[type[nn.Module], ...] = ()
    covers_submodules: bool = False

    def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
        """Gradients of the matrix, and of the vector if there is one."""
        inputs, errors = samples_first(use, only_tensor(use)), use.errors[0]
        inputs, errors = (part.reshape(len(inputs), 1, -1, part.shape[-1]) for part in (inputs.to(errors), errors))
        product = OuterProducts(inputs, errors) if self.inputs_first else OuterProducts(errors, inputs)
        found: dict[str, GradSample] = {self.weight: product}
        if self.bias is not None:
            found[self.bias] = Materialised(errors.sum(dim=(1, 2)))
        return found


def _factors(module: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Factor of each vector of weights: the output for a vector of ones less that for zeros, the others being zero."""
    held = dict(module.named_parameters(recurse=False))
    zero = {name: torch.zeros_like(value) for name, value in held.items()}
    base = _output(module, zero, inputs)
    return {name: _output(module, {**zero, name: torch.ones_like(held[name])}, inputs) - base for name in held}


@torch.no_grad()
def _output(module: nn.Module, variables: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Output with other variables, of ``forward`` itself: a user's hooks may change it afterwards."""
    held = dict(module._parameters)
    module._parameters.update(variables)  # type: ignore[arg-type]
    try:
        output = module.forward(inputs)
    finally:
        module._parameters.update(held)
    if not isinstance(output, Tensor) or not output.is_floating_point():
        raise UnsuitableUseError(f"an output that is {type(output).__name__}")
    return output


def _recognised(module: nn.Module) -> LayerRule | None:
    """Rule for a layer of a user's own without submodules, by its behaviour for numbers drawn at random."""
    variables = dict(module.named_parameters(recurse=False))
    shapes = sorted(value.dim() for value in variables.values())
    if any(module.children()) or shapes not in ([1], [1, 1], [2], [1, 2]):
        return None
    if any(value.is_complex() for value in variables.values()) or sum(map(torch.numel, variables.values())) > _LARGEST:
        return None
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            probe = copied(module).double()
            return _dense(probe, variables) if 2 in shapes else _entrywise(probe, variables)
    # A module of a user's own may refuse the numbers in any way.
    except Exception:
        return None


def _drawn(like: Tensor, *shape: int) -> Tensor:
    """Numbers drawn at random, the same each time."""
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(like.device)


def _entrywise(probe: nn.Module, variables: Mapping[str, Tensor]) -> LayerRule | None:
    """Rule for vectors of weights along the last dimension or, as images have them, the second."""
    one, *others = variables.values()
    width = len(one)
    if any(len(other) != width for other in others):
        return None
    samples, places = (size for size in (2, 3, 4) if size != width) if width in (2, 3, 4) else (2, 3)
    for axis, shape in ((-1, (samples, places, width)), (1, (samples, width, places, places))):
        x = _drawn(one, *shape)
        drawn = {name: _drawn(one, at + 2, width)[at] for at, name in enumerate(variables)}
        try:
            factors = _factors(probe, x)
            expected = _output(probe, {name: torch.zeros_like(value) for name, value in drawn.items()}, x)
            for name, factor in factors.items():
                entries = drawn[name] if axis == -1 else drawn[name][:, None, None]
                expected = expected + entries * factor
            if _same(_output(probe, drawn, x), expected, x) and all(factor.any() for factor in factors.values()):
                return EntrywiseRule(axis)
        except (*RAISED_BY_USER_CODE, UnsuitableUseError):
            continue
    return None


def _dense(probe: nn.Module, variables: Mapping[str, Tensor]) -> LayerRule | None:
    """Rule for a matrix with or without a vector."""
    weight = next(name for name, value in variables.items() if value.dim() == 2)
    bias = next((name for name in variables if name != weight), None)
    matrix = _drawn(variables[weight], *variables[weight].shape)
    for inputs_first in (True, False):
        way = matrix if inputs_first else matrix.T
        if bias is not None and len(variables[bias]) != way.shape[1]:
            continue
        drawn = {weight: matrix} | ({} if bias is None else {bias: _drawn(matrix, way.shape[1])})
        x = _drawn(matrix, 2, 3, way.shape[0])
        expected = x @ way + (0 if bias is None else drawn[bias])
        try:
            output = _output(probe, drawn, x)
        except (*RAISED_BY_USER_CODE, UnsuitableUseError):
            continue
        if _same(output, expected, expected):
            return OwnDenseRule(weight, bias, inputs_first)
    return None


def _same(one: Tensor, other: Tensor, like: Tensor) -> bool:
    """Whether two outputs agree to rounding, in a certain shape."""
    if one.shape != like.shape or other.shape != like.shape:
        return False
    return bool((one - other).abs().max() <= _AGREEMENT * other.abs().max())


recognise(_recognised)

"""Convolutions: dense layers at every place, of the inputs that the kernel covers there."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.protocol import GradSample
from critlearn.fluctuations.grad_sample.rules.registry import register, samples_first
from critlearn.fluctuations.grad_sample.unfolded_products import UnfoldedProducts
from critlearn.network.backward.layer_use import LayerUse


class ConvolutionRule:
    """``dW = sum over places of e (unfolded a)^T`` for each group; ``db = sum over places of e``."""

    layers = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    covers_submodules = False

    def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
        """Gradients of ``weight`` and ``bias``."""
        module = use.module
        assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
        errors = samples_first(use, use.errors[0]).flatten(2)
        samples, channels, places = errors.shape
        inputs = samples_first(use, use.arguments[0])
        errors_by_group = errors.reshape(samples, module.groups, channels // module.groups, places).transpose(2, 3)
        weight = UnfoldedProducts(errors_by_group, inputs, partial(unfolded, module))
        return {"weight": weight, "bias": Materialised(errors.sum(dim=2))}


class TransposedConvolutionRule:
    """A convolution with inputs and errors in each other's place: ``dW = sum over places of a (unfolded e)^T``."""

    layers = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    covers_submodules = False

    def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
        """Gradients of ``weight`` and ``bias``."""
        module = use.module
        assert isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
        errors, inputs = samples_first(use, use.errors[0]), samples_first(use, use.arguments[0])
        space = inputs.shape[2:]
        by_group = inputs.to(errors).flatten(2).unflatten(1, (module.groups, -1)).transpose(2, 3)
        weight = UnfoldedProducts(by_group, errors, partial(unfolded, module, space=space))
        return {"weight": weight, "bias": Materialised(errors.flatten(2).sum(dim=2))}


def unfolded(module: nn.modules.conv._ConvNd, inputs: Tensor, *, space: torch.Size | None = None) -> Tensor:
    """Inputs under the kernel, shape (sample, group, place, channel of the group x kernel).

    ``space`` is the number of places in each dimension, where the last ones do not count; None for all.
    """
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    windows = functional.pad(inputs, module._reversed_padding_repeated_twice, mode=mode)
    dimensions = len(module.kernel_size)
    for axis in range(dimensions):
        dilation = module.dilation[axis]
        span = dilation * (module.kernel_size[axis] - 1) + 1
        windows = windows.unfold(2 + axis, span, module.stride[axis])[..., ::dilation]
        if space is not None:
            windows = windows.narrow(2 + axis, 0, space[axis])
    samples, channels = windows.shape[:2]
    windows = windows.reshape(samples, module.groups, channels // module.groups, *windows.shape[2:])
    # (sample, group, channel, *place, *kernel) -> (sample, group, channel, *kernel, *place): rows of places lie side by
    # side in memory, which is copied fastest; a matrix product takes either order.
    order = (0, 1, 2, *range(3 + dimensions, 3 + 2 * dimensions), *range(3, 3 + dimensions))
    return windows.permute(order).flatten(2, 2 + dimensions).flatten(3).transpose(2, 3)


register(ConvolutionRule())
register(TransposedConvolutionRule())

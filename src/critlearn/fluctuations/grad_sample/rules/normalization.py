"""Normalisations: scale and shift of a normalised input."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.protocol import GradSample
from critlearn.fluctuations.grad_sample.rules.registry import UnsuitableUseError, register, samples_first
from critlearn.network.backward.layer_use import LayerUse


class TrailingNormRule:
    """Layer and root-mean-square normalisation: one scale for each entry of the last dimensions."""

    layers = (nn.LayerNorm, nn.RMSNorm)
    covers_submodules = False

    def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
        """Gradients of ``weight`` and ``bias``, summed over the dimensions in between."""
        module, inputs, errors = use.module, samples_first(use, use.arguments[0]), use.errors[0]
        assert isinstance(module, nn.LayerNorm | nn.RMSNorm)
        shape = list(module.normalized_shape)
        if isinstance(module, nn.LayerNorm):
            normalised = functional.layer_norm(inputs, shape, eps=module.eps)
        else:
            normalised = functional.rms_norm(inputs, shape, eps=module.eps)
        entries = normalised[0].numel() if inputs.dim() == 1 + len(shape) else module.weight.numel()
        scale, shift = ((part.reshape(len(inputs), -1, entries)).sum(dim=1) for part in (errors * normalised, errors))
        return {"weight": Materialised(scale), "bias": Materialised(shift)}


class ChannelNormRule:
    """Group normalisation, and batch normalisation in evaluation mode: one scale for each channel."""

    layers = (nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    covers_submodules = False

    def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
        """Gradients of ``weight`` and ``bias``, summed over places."""
        inputs, errors = samples_first(use, use.arguments[0]), use.errors[0]
        samples, channels = inputs.shape[:2]
        products = errors * _normalised(use.module, inputs)
        scale, shift = (part.reshape(samples, channels, -1).sum(dim=2) for part in (products, errors))
        return {"weight": Materialised(scale), "bias": Materialised(shift)}


def _normalised(module: nn.Module, inputs: Tensor) -> Tensor:
    """Input as it is before scale and shift."""
    if isinstance(module, nn.GroupNorm):
        return functional.group_norm(inputs, module.num_groups, eps=module.eps)
    assert isinstance(module, nn.modules.batchnorm._BatchNorm)
    if module.training or module.running_mean is None or module.running_var is None:
        raise UnsuitableUseError("batch normalisation by the statistics of the batch")
    shape = (1, -1, *[1] * (inputs.dim() - 2))
    mean, variance = module.running_mean.reshape(shape), module.running_var.reshape(shape)
    return (inputs - mean) * torch.rsqrt(variance + module.eps)


register(TrailingNormRule())
register(ChannelNormRule())

"""Checks of modules and parameters before any pass: samples are not coupled, nothing is random, values are real."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from critlearn.errors import InvalidInputError

_COUPLING = (nn.modules.batchnorm._BatchNorm,)
_RANDOM = (nn.modules.dropout._DropoutNd,)
_SPARSE = (nn.Embedding, nn.EmbeddingBag)
"""Modules that couple samples in train mode, draw random numbers there, or may have sparse gradients."""


def check_kind(model: object) -> None:
    """Raise if the model is no torch module, or is compiled so that its modules cannot be seen.

    Raises
    ------
    InvalidInputError
        If it is no module or is compiled.
    """
    if not isinstance(model, nn.Module):
        raise InvalidInputError(f"the model must be a torch.nn.Module; got {type(model).__name__}")
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            where = f'module "{name}"' if name else "the model"
            raise InvalidInputError(
                f"{where} is compiled by torch.jit, and cannot be taken apart: give the module that it was made from"
            )


def check_modules(model: nn.Module) -> None:
    """Raise if a module couples samples, is random or has sparse gradients.

    Raises
    ------
    InvalidInputError
        If there is one; the message names it.
    """
    for name, module in model.named_modules():
        where = f'module "{name}" ({type(module).__name__})'
        by_batch = isinstance(module, _COUPLING) and (module.training or module.running_mean is None)
        if by_batch and not module.training:
            raise InvalidInputError(
                f"{where} has no running statistics and couples the samples of a batch: give it "
                "track_running_stats=True"
            )
        if by_batch:
            raise InvalidInputError(f"{where} couples the samples of a batch in train mode: call model.eval() first")
        if module.training and _random(module):
            raise InvalidInputError(f"{where} is random in train mode: call model.eval() first")
        if isinstance(module, _SPARSE) and module.sparse and module.weight.requires_grad:
            raise InvalidInputError(f"{where} has sparse gradients, of which no pass is made: set its sparse to False")


def check_parameters(model: nn.Module) -> None:
    """Raise if parameters have no values or no gradients, are complex or on several devices, or none is trainable.

    Raises
    ------
    InvalidInputError
        If there are such parameters; the message names the first.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InvalidInputError("the model has no trainable parameters")
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.is_meta:
            raise InvalidInputError(
                f'"{name}" of the model is on the meta device and has no values: call model.to_empty(device=...) and '
                "load the weights first"
            )
        if value.is_complex():
            raise InvalidInputError(f'"{name}" of the model is complex: networks have real numbers here')
    if torch.is_inference_mode_enabled():
        raise InvalidInputError("there are no gradients in torch.inference_mode(): leave it first")
    for name, value in model.named_parameters():
        if not is_lazy(value) and value.is_inference():
            raise InvalidInputError(f'"{name}" of the model was made in torch.inference_mode() and takes no gradient')
    devices = {str(value.device) for value in model.parameters()}
    if len(devices) > 1:
        raise InvalidInputError(f"the model's parameters are on several devices: {', '.join(sorted(devices))}")


def _random(module: nn.Module) -> bool:
    """Whether a module draws random numbers in train mode."""
    if isinstance(module, _RANDOM):
        return module.p > 0
    # Attention and recurrent layers keep their dropout as a number.
    share = getattr(module, "dropout", 0.0)
    return isinstance(share, float) and share > 0

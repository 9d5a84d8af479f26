"""Learning pass of single samples, from output errors of size 1 whose true logarithm is kept apart.

The pass is linear in the output error of a sample, so the scale can be restored afterwards, and nothing underflows.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from critlearn.errors import RAISED_BY_USER_CODE
from critlearn.network.batches.model_inputs import Inputs
from critlearn.network.system import NeuralSystem


@dataclass(frozen=True, eq=False)
class ScaledGradients:
    """Per-sample gradients ``exp(log_scale) * gradients`` of the loss.

    Parameters
    ----------
    gradients
        By name of the trainable variable, shape (batch, *shape of the variable): the gradients for output errors whose
        largest entry has size 1.
    log_scale
        Logarithm of the true size of that entry, shape (batch,), double precision; ``-inf`` for a vanishing error.
    """

    gradients: dict[str, Tensor]
    log_scale: Tensor


def learning_pass(system: NeuralSystem, x: Inputs, t: Tensor) -> ScaledGradients:
    """Gradients of the loss of each sample with respect to each trainable variable.

    Source: theory, learning pass; ``dq = -gamma * gradient``.

    Raises
    ------
    InvalidInputError
        If outputs and targets do not fit, or an output is not finite.
    """
    with torch.no_grad():
        y, target = system.forward(x, t)
        sign, log_size = system.loss.log_output_error(y, target)
        log_scale = log_size.amax(dim=1)
        vanishing = torch.isneginf(log_scale)
        # A sample without error keeps unit error 0, and so has gradient 0.
        relative = (log_size - torch.where(vanishing, 0.0, log_scale)[:, None]).exp()
        unit_error = (sign * relative).to(y.dtype)
    variables = {name: value.detach() for name, value in system.parameters.items()}
    return ScaledGradients(differentiated(system.model, variables, x, unit_error), log_scale)


def differentiated(model: nn.Module, variables: Mapping[str, Tensor], x: Inputs, errors: Tensor) -> dict[str, Tensor]:
    """Per-sample gradients of ``sum(output * errors)`` with respect to some of a network's variables.

    By ``torch.func``, or one sample after the other where it refuses (recurrent layers, data-dependent control flow).
    """
    places = parameter_places(model)

    def weighted_output(values: dict[str, Tensor], sample: Inputs, error: Tensor) -> Tensor:
        # Not torch's own tying of weights, which leaves its substitutes behind in a module that is used twice.
        substitutes = {place: values[name] for place, name in places.items() if name in values}
        output = functional_call(model, substitutes, (sample.unsqueeze(0),), tie_weights=False)
        return (output.reshape(-1) * error.reshape(-1)).sum()

    try:
        with without_advice():
            return vmap(grad(weighted_output), in_dims=(None, 0, 0))(dict(variables), x, errors)
    except RAISED_BY_USER_CODE:
        rows = [_one_by_one(weighted_output, variables, *pair) for pair in zip(x, errors, strict=True)]
        return {name: torch.stack([row[name] for row in rows]) for name in variables}


@contextmanager
def without_advice() -> Iterator[None]:
    """Leave out what torch says of operations that ``vmap`` has to call one by one: a user cannot change it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        yield


def parameter_places(model: nn.Module) -> dict[str, str]:
    """Map every place of a parameter, once for each module that holds it, to its name in ``named_parameters``."""
    names = {id(value): name for name, value in model.named_parameters()}
    return {
        f"{prefix}.{local}" if prefix else local: names[id(value)]
        for prefix, module in model.named_modules()
        for local, value in module.named_parameters(recurse=False)
    }


def _one_by_one(
    function: Callable[..., Tensor], variables: Mapping[str, Tensor], sample: Inputs, error: Tensor
) -> dict[str, Tensor]:
    """Gradients of one sample by plain automatic differentiation."""
    leaves = {name: value.detach().requires_grad_() for name, value in variables.items()}
    with torch.enable_grad():
        gradients = torch.autograd.grad(function(leaves, sample, error), list(leaves.values()), allow_unused=True)
    found = zip(leaves.items(), gradients, strict=True)
    return {name: torch.zeros_like(leaf) if gradient is None else gradient for (name, leaf), gradient in found}

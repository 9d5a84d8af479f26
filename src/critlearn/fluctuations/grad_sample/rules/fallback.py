"""Layers without a rule of their own: automatic differentiation of that one layer for every sample."""

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.utils._pytree import tree_flatten, tree_unflatten

from critlearn.errors import RAISED_BY_USER_CODE
from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.protocol import GradSample
from critlearn.fluctuations.grad_sample.rules.registry import UnsuitableUseError
from critlearn.network.backward.layer_use import LayerUse
from critlearn.network.backward.learning_pass import without_advice
from critlearn.network.checks.finiteness import check_finite, in_words


class FallbackRule:
    """Vector-Jacobian products of the layer's own variables, mapped over samples by ``torch.func``.

    Samples are passed one after the other where it refuses, as for experts to whom tokens are sent.

    Parameters
    ----------
    covers_submodules
        Whether the variables of its submodules are among those that it gives.
    inner
        Names of submodules that are never called, whose variables the module uses itself.
    """

    layers: tuple[type[nn.Module], ...] = ()

    def __init__(self, *, covers_submodules: bool = False, inner: Collection[str] = ()) -> None:
        self.covers_submodules, self.inner = covers_submodules, tuple(inner)

    def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
        """Gradients of the variables that the module itself holds, and of those of the submodules that it covers."""
        variables = dict(use.module.named_parameters(recurse=self.covers_submodules))
        for name in self.inner:
            held = use.module.get_submodule(name).named_parameters(recurse=False)
            variables |= {f"{name}.{local}": value for local, value in held}
        samples = len(use.log_scale)
        arguments, structure = tree_flatten((use.arguments, use.keywords))
        apart = [_by_sample(value, use) for value in arguments]
        mapped = [whole is not part for whole, part in zip(arguments, apart, strict=True)]
        if not any(mapped):
            raise UnsuitableUseError("no argument has a dimension of samples")
        errors = tuple(_by_sample(error, use) for error in use.errors)
        if any(whole is part for whole, part in zip(use.errors, errors, strict=True)):
            raise UnsuitableUseError("an output has no dimension of samples")

        def one(errors: tuple[Tensor, ...], *values: Any) -> dict[str, Tensor]:
            positional, keywords = tree_unflatten(list(values), structure)

            def outputs(variables: dict[str, Tensor]) -> tuple[Tensor, ...]:
                result = functional_call(use.module, variables, positional, keywords)
                tensors, _ = tree_flatten(result)
                return tuple(part for part in tensors if isinstance(part, Tensor) and part.is_floating_point())

            found, pull = vjp(outputs, variables)[:2]
            # What a layer gives for all samples together has no dimension of samples, its errors have one.
            return pull(tuple(error.reshape(part.shape) for error, part in zip(errors, found, strict=True)))[0]

        dims = (0, *(0 if own else None for own in mapped))
        try:
            with without_advice():
                gradients = vmap(one, in_dims=dims)(errors, *apart)
        except RAISED_BY_USER_CODE:
            # vmap gives up on data-dependent control flow and on operations that it does not know.
            gradients = _one_by_one(one, errors, apart, mapped)
        for name, gradient in gradients.items():
            check_finite(gradient, f'the gradient of "{name}" of {in_words(use.layer, use.module)}')
        return {name: Materialised(gradient.detach().reshape(samples, -1)) for name, gradient in gradients.items()}


def _by_sample(value: Any, use: LayerUse) -> Any:
    """Value as a batch of one for each sample: (sample, 1, ...), or (sample, place, ...) if it has places side by side.

    What is no tensor of samples stays as it is.
    """
    samples, rows = len(use.log_scale), len(use.errors[0]) if use.errors[0].dim() else 0
    if not isinstance(value, Tensor) or value.dim() == 0 or len(value) not in (samples, rows) or len(value) % samples:
        return value
    return value.unflatten(0, (samples, -1))


def _one_by_one(
    one: Callable[..., dict[str, Tensor]], errors: tuple[Tensor, ...], values: list[Any], mapped: list[bool]
) -> dict[str, Tensor]:
    """Gradients of one sample after the other.

    Raises
    ------
    UnsuitableUseError
        If the layer cannot be passed with the inputs of one sample alone.
    """
    try:
        rows = [
            one(
                tuple(error[at] for error in errors),
                *(value[at] if own else value for value, own in zip(values, mapped, strict=True)),
            )
            for at in range(len(errors[0]))
        ]
    except RAISED_BY_USER_CODE as problem:
        raise UnsuitableUseError(str(problem)) from problem
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

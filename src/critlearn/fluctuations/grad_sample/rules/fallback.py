"""Layers without a rule of their own: automatic differentiation of that one layer for every sample."""

from typing import Any

from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.utils._pytree import tree_flatten, tree_unflatten

from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.protocol import GradSample
from critlearn.fluctuations.grad_sample.rules.registry import UnsuitableUseError
from critlearn.network.backward.layer_use import LayerUse
from critlearn.network.checks.finiteness import check_finite, in_words


class FallbackRule:
    """Vector-Jacobian products of the layer's own variables, mapped over samples by ``torch.func``."""

    layers: tuple[type[nn.Module], ...] = ()
    covers_submodules = False

    def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
        """Gradients of the variables that the module itself holds."""
        variables = dict(use.module.named_parameters(recurse=False))
        samples = len(use.log_scale)
        arguments, structure = tree_flatten((use.arguments, use.keywords))
        mapped = [isinstance(value, Tensor) and value.dim() > 0 and len(value) == samples for value in arguments]
        if not any(mapped):
            raise UnsuitableUseError("no argument has a dimension of samples")

        def one(errors: tuple[Tensor, ...], *values: Any) -> dict[str, Tensor]:
            whole = [value.unsqueeze(0) if own else value for value, own in zip(values, mapped, strict=True)]
            positional, keywords = tree_unflatten(whole, structure)

            def outputs(variables: dict[str, Tensor]) -> tuple[Tensor, ...]:
                result = functional_call(use.module, variables, positional, keywords)
                tensors, _ = tree_flatten(result)
                return tuple(part for part in tensors if isinstance(part, Tensor) and part.is_floating_point())

            pull = vjp(outputs, variables)[1]
            return pull(tuple(error.unsqueeze(0) for error in errors))[0]

        dims = (0, *(0 if own else None for own in mapped))
        try:
            gradients = vmap(one, in_dims=dims)(tuple(use.errors), *arguments)
        except (RuntimeError, ValueError, TypeError, IndexError) as problem:
            # vmap gives up on data-dependent control flow and on operations that it does not know.
            raise UnsuitableUseError(str(problem)) from problem
        for name, gradient in gradients.items():
            check_finite(gradient, f'the gradient of "{name}" of {in_words(use.layer, use.module)}')
        return {name: Materialised(gradient.detach().reshape(samples, -1)) for name, gradient in gradients.items()}

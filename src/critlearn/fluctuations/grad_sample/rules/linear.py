"""Dense layers: the gradient of the weights is an outer product of output errors and inputs."""

from torch import nn

from critlearn.fluctuations.grad_sample.protocol import Contribution, OuterProducts, Values
from critlearn.fluctuations.grad_sample.rules.registry import per_sample, register
from critlearn.network.backward.layer_use import LayerUse


class LinearRule:
    """``dW = e a^T``, summed over sequence dimensions; ``db = e``. Source: theory, duality map."""

    layers = (nn.Linear,)
    whole = False

    def contributions(self, use: LayerUse) -> dict[str, Contribution]:
        """Gradients of ``weight`` and ``bias``."""
        inputs, errors = per_sample(use, use.arguments[0]), use.errors[0]
        samples = len(inputs)
        inputs = inputs.reshape(samples, 1, -1, inputs.shape[-1])
        errors = errors.reshape(samples, 1, -1, errors.shape[-1])
        if errors.shape[2] > 1:
            return {"weight": OuterProducts(errors, inputs), "bias": Values(errors.sum(dim=(1, 2)))}
        # Taken once, for weights and biases alike.
        logs = (errors.double().abs().log() if use.log_errors is None else use.log_errors).reshape(errors.shape)
        return {"weight": OuterProducts(errors, inputs, logs), "bias": Values(errors[:, 0, 0], logs[:, 0, 0])}


register(LinearRule())

"""Dense layers: the gradient of the weights is an outer product of output errors and inputs."""

from torch import nn

from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.outer_products import OuterProducts
from critlearn.fluctuations.grad_sample.protocol import GradSample
from critlearn.fluctuations.grad_sample.rules.registry import register, samples_first
from critlearn.network.backward.layer_use import LayerUse


class LinearRule:
    """``dW = e a^T``, summed over sequence dimensions; ``db = e``. Source: theory, duality map."""

    layers = (nn.Linear,)
    covers_submodules = False

    def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
        """Gradients of ``weight`` and ``bias``."""
        inputs, errors = samples_first(use, use.arguments[0]), use.errors[0]
        samples = len(inputs)
        inputs = inputs.reshape(samples, 1, -1, inputs.shape[-1])
        errors = errors.reshape(samples, 1, -1, errors.shape[-1])
        if errors.shape[2] > 1:
            return {"weight": OuterProducts(errors, inputs), "bias": Materialised(errors.sum(dim=(1, 2)))}
        # Taken once, for weights and biases alike.
        logs = (errors.double().abs().log() if use.log_errors is None else use.log_errors).reshape(errors.shape)
        return {"weight": OuterProducts(errors, inputs, logs), "bias": Materialised(errors[:, 0, 0], logs[:, 0, 0])}


register(LinearRule())

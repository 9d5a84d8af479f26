"""Dense layers that hold their weights as (input, output): ``Conv1D`` of Hugging Face's GPT-2."""

from torch import nn

from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.outer_products import OuterProducts
from critlearn.fluctuations.grad_sample.protocol import GradSample
from critlearn.fluctuations.grad_sample.rules.registry import register_named, samples_first
from critlearn.network.backward.layer_use import LayerUse


class TransposedLinearRule:
    """``dW = a e^T``, summed over sequence dimensions; ``db = e``."""

    layers: tuple[type[nn.Module], ...] = ()
    covers_submodules = False

    def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
        """Gradients of ``weight`` and ``bias``."""
        use = use.in_one_precision()
        inputs, errors = samples_first(use, use.arguments[0]), use.errors[0]
        samples = len(inputs)
        inputs = inputs.reshape(samples, 1, -1, inputs.shape[-1])
        errors = errors.reshape(samples, 1, -1, errors.shape[-1])
        # The product of the two is the same with their places exchanged.
        return {"weight": OuterProducts(inputs, errors), "bias": Materialised(errors.sum(dim=(1, 2)))}


register_named(TransposedLinearRule(), "transformers.pytorch_utils.Conv1D")

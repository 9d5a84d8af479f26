"""Catalogue activations and compositions as torch modules whose backward passes are exact in the tail."""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from critlearn.compositions import ACTIVATIONS, Activation, OutputLoss, find_activation
from critlearn.errors import InvalidInputError, unknown_name

MOST_WEIGHTS: Final = 10**9
"""Largest number of weights of a network made here; with an optimiser, more do not fit into an ordinary machine."""


def _tanh_slope(y: Tensor) -> Tensor:
    small = torch.exp(-2 * y.abs())
    return 4 * small / (1 + small) ** 2


def _sigmoid_slope(y: Tensor) -> Tensor:
    small = torch.exp(-y.abs())
    return small / (1 + small) ** 2


_DIRECT: Final[dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]]] = {
    "tanh": (torch.tanh, _tanh_slope),
    "sigmoid": (torch.sigmoid, _sigmoid_slope),
}
"""Values and slopes without a difference that cancels, in a third of the time of the formulas of the catalogue."""


def _direct(activation: Activation) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Value and slope of an activation as functions of tensors."""
    if activation.name in _DIRECT and activation == ACTIVATIONS.get(activation.name):
        return _DIRECT[activation.name]
    return activation, activation.derivative


class _ExactActivation(torch.autograd.Function):
    """Activation whose derivative is computed as ``exp(ln f')``, not as ``1 - f^2``, which is 0 in the tail."""

    generate_vmap_rule = True

    @staticmethod
    def forward(pre_activation: Tensor, activation: Activation) -> Tensor:
        return _direct(activation)[0](pre_activation)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Activation], output: Tensor) -> None:
        pre_activation, ctx.activation = inputs
        ctx.save_for_backward(pre_activation)
        ctx.save_for_forward(pre_activation)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        (pre_activation,) = ctx.saved_tensors
        return gradients[0] * _direct(ctx.activation)[1](pre_activation), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (pre_activation,) = ctx.saved_tensors
        return tangents[0] * _direct(ctx.activation)[1](pre_activation)


class ActivationModule(nn.Module):
    """Module of a catalogue activation: any shape in and out, dtype kept, no parameters.

    Parameters
    ----------
    activation
        Catalogue name, or an `Activation`.
    """

    def __init__(self, activation: str | Activation) -> None:
        super().__init__()
        self.activation = find_activation(activation) if isinstance(activation, str) else activation

    def forward(self, pre_activation: Tensor) -> Tensor:
        """``f(y)``."""
        return _ExactActivation.apply(pre_activation, self.activation)

    def values(self) -> Callable[[Tensor], Tensor]:
        """Give the function of tensors alone, a third of the cost of a call, for passes that are not differentiated."""
        return _direct(self.activation)[0]

    def extra_repr(self) -> str:
        """Name of the activation."""
        return self.activation.name


class _ExactLoss(torch.autograd.Function):
    """Loss per output, or per sample, whose derivative is the tail-exact output error."""

    @staticmethod
    def forward(pre_activation: Tensor, target: Tensor, composition: OutputLoss) -> Tensor:
        return composition.value(pre_activation, target)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, OutputLoss], output: Tensor) -> None:
        pre_activation, target, ctx.composition = inputs
        ctx.save_for_backward(pre_activation, target)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None]:
        pre_activation, target = ctx.saved_tensors
        (gradient,) = gradients
        # A loss of classes has one value per sample, and an error for each of its outputs.
        if ctx.composition.class_targets:
            gradient = gradient[:, None]
        return gradient * ctx.composition.output_error(pre_activation, target), None, None


class CompositionLoss(nn.Module):
    """Mean loss of pre-activations: output activation and loss in one, exact in the tail.

    Parameters
    ----------
    composition
        Output activation and loss, or another `OutputLoss`.
    """

    def __init__(self, composition: OutputLoss) -> None:
        super().__init__()
        self.composition = composition

    def forward(self, pre_activation: Tensor, target: Tensor) -> Tensor:
        """Mean of ``H(f(y), t)`` over all outputs, or over all samples for a loss of classes."""
        apply = _ExactLoss.apply
        if torch.compiler.is_compiling():
            # The loss stays as it is: torch's compiler would split it at the checks of targets, and made NaN of the
            # parts of a second design with another exponent.
            apply = torch.compiler.disable(apply)
        return apply(pre_activation, target, self.composition).mean()

    def extra_repr(self) -> str:
        """Name of the composition."""
        return self.composition.name


def hidden_activation(name: str) -> nn.Module:
    """Return the module of a hidden activation: a catalogue name, or ``relu``, whose derivative is exact in torch.

    Raises
    ------
    InvalidInputError
        If the name is unknown.
    """
    if name == "relu":
        return nn.ReLU()
    if name not in ACTIVATIONS:
        raise unknown_name("hidden activation", name, [*ACTIVATIONS, "relu"])
    return ActivationModule(name)


def feed_forward(
    inputs: int,
    hidden: Sequence[int],
    activation: str,
    *,
    seed: int,
    dtype: torch.dtype = torch.float64,
    outputs: int = 1,
) -> nn.Sequential:
    """Make a dense network whose outputs are pre-activations.

    Layers are named ``hidden1``, ``hidden2``, ..., ``output``, and their parameters accordingly (``hidden1.weight``).
    Weights are drawn as torch does by default; the global random state is left unchanged.

    Raises
    ------
    InvalidInputError
        If a width is not positive, there are too many weights, or the activation is unknown.
    """
    if inputs < 1 or any(width < 1 for width in hidden):
        raise InvalidInputError(f"widths of layers must be positive; got {inputs} inputs and hidden {list(hidden)}")
    weights = sum(before * after for before, after in itertools.pairwise([inputs, *hidden, outputs]))
    if weights > MOST_WEIGHTS:
        raise InvalidInputError(f"hidden {list(hidden)} makes {weights:,} weights; allowed: {MOST_WEIGHTS:,}")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    # nn.Linear takes no generator, so the global random state is seeded and then restored.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = inputs
        for depth, units in enumerate(hidden, start=1):
            layers[f"hidden{depth}"] = nn.Linear(width, units, dtype=dtype)
            layers[f"hidden{depth}_activation"] = hidden_activation(activation)
            width = units
        layers["output"] = nn.Linear(width, outputs, dtype=dtype)
    return nn.Sequential(layers)


@torch.no_grad()
def draw_gaussian_weights(model: nn.Sequential, variance: float, *, seed: int) -> None:
    """Draw the weights of all dense layers anew, from a normal density of variance ``variance / inputs``; biases are 0.

    With this scaling, signals keep their size from layer to layer at a variance that depends on the activation
    (1 for tanh, 2 for relu): Poole et al., "Exponential expressivity in deep neural networks through transient chaos",
    2016. The global generator is left untouched.

    Parameters
    ----------
    model
        Sequence with dense layers.
    variance
        Variance of a weight times the number of inputs of its layer, positive.
    seed
        Seed of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in model:
        if isinstance(layer, nn.Linear):
            drawn = torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64)
            layer.weight.copy_(drawn * (variance / layer.in_features) ** 0.5)
            layer.bias.zero_()

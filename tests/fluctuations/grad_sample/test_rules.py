"""Counts of every layer rule against plain per-sample gradients, bin for bin."""

import warnings
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import TensorDataset

from critlearn.fluctuations import measure
from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.protocol import GradSample
from critlearn.fluctuations.grad_sample.rules import LinearRule, register
from critlearn.network import NeuralSystem
from critlearn.network.backward.layer_use import LayerUse
from reference.plain_gradients import assert_same_counts, plain_gradients

CLASSES = 3
SETTINGS = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 10**6)


class Pooled(nn.Module):
    """Any module over (sample, ..., width), averaged over all that is between, and a dense layer."""

    def __init__(self, body: nn.Module, width: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        out = out[0] if isinstance(out, tuple) else out
        while out.dim() > 2:
            out = out.mean(dim=1)
        return self.head(out)


class SelfAttention(nn.Module):
    def __init__(self, attention: nn.MultiheadAttention, context: int | None = None) -> None:
        super().__init__()
        self.attention, self.context = attention, context

    def forward(self, x: Tensor) -> Tensor:
        other = x if self.context is None else x[..., : self.context].flip(1)
        return self.attention(x, other, other)[0]


def check(
    model: nn.Module, x: Tensor, *, groups: int = 2, without: tuple[str, ...] = (), rules_only: bool = True
) -> list[str]:
    """Compare all counts; what a measurement warns of is returned."""
    model = model.double().eval()
    generator = torch.Generator().manual_seed(0)
    t = torch.randint(CLASSES, (len(x),), generator=generator)
    loss = nn.CrossEntropyLoss()
    system = NeuralSystem(model, loss, TensorDataset(x, t))
    with warnings.catch_warnings(record=True) as told:
        # A layer that falls back to automatic differentiation says so.
        warnings.simplefilter("error" if rules_only else "always")
        fluctuations = measure(system, batch_size=3, groups=2, exact=True)
    for name, values in plain_gradients(model, loss, x, t).items():
        if name not in without:
            assert_same_counts(fluctuations[name], values, 2)
    return [str(each.message) for each in told]


def data(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@SETTINGS
@given(
    seed=seeds, widths=st.lists(st.integers(1, 6), min_size=2, max_size=4), bias=st.booleans(), tokens=st.integers(0, 3)
)
def test_linear(seed: int, widths: list[int], bias: bool, tokens: int) -> None:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for width, following in pairwise(widths):
        layers += [nn.Linear(width, following, bias=bias), nn.Tanh()]
    shape = (5, tokens, widths[0]) if tokens else (5, widths[0])
    check(Pooled(nn.Sequential(*layers), widths[-1]), data(seed, *shape))
    if not tokens:
        check(nn.Sequential(*layers, nn.Linear(widths[-1], CLASSES)), data(seed, *shape))


@SETTINGS
@given(
    seed=seeds,
    dimensions=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    mode=st.sampled_from(["zeros", "circular", "replicate"]),
)
def test_convolution(
    seed: int, dimensions: int, kernel: int, stride: int, padding: int, dilation: int, groups: int, mode: str
) -> None:
    torch.manual_seed(seed)
    layer = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]
    convolution = layer(2, 4, kernel, stride, padding, dilation, groups, padding_mode=mode)
    x = data(seed, 3, 2, *[5] * dimensions)
    width = convolution.double()(x).flatten(1).shape[1]
    check(nn.Sequential(convolution, nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(width, CLASSES)), x)


@SETTINGS
@given(
    seed=seeds,
    dimensions=st.integers(1, 2),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.integers(0, 1),
    extra=st.integers(0, 2),
    dilation=st.integers(1, 3),
    groups=st.sampled_from([1, 2]),
)
def test_transposed_convolution(
    seed: int, dimensions: int, kernel: int, stride: int, padding: int, extra: int, dilation: int, groups: int
) -> None:
    torch.manual_seed(seed)
    layer = (nn.ConvTranspose1d, nn.ConvTranspose2d)[dimensions - 1]
    # Torch takes no more extra places than stride or dilation make.
    extra = min(extra, max(stride, dilation) - 1)
    convolution = layer(2, 4, kernel, stride, padding, extra, groups, dilation=dilation)
    x = data(seed, 3, 2, *[3] * dimensions)
    width = convolution.double()(x).flatten(1).shape[1]
    check(nn.Sequential(nn.Identity(), convolution, nn.Tanh(), nn.Flatten(), nn.Linear(width, CLASSES)), x)


@SETTINGS
@given(seed=seeds, tokens=st.integers(1, 4), padding=st.sampled_from([None, 0]))
def test_embedding(seed: int, tokens: int, padding: int | None) -> None:
    torch.manual_seed(seed)
    x = torch.randint(5, (6, tokens), generator=torch.Generator().manual_seed(seed))
    check(Pooled(nn.Embedding(5, 3, padding_idx=padding), 3), x)


@pytest.mark.parametrize(
    ("body", "shape", "width"),
    [
        (lambda: nn.LayerNorm(4), (5, 3, 4), 4),
        (lambda: nn.LayerNorm((3, 4)), (5, 3, 4), 4),
        (lambda: nn.RMSNorm(4), (5, 4), 4),
        (lambda: nn.GroupNorm(2, 4), (5, 4, 6), 6),
        (lambda: nn.BatchNorm1d(4), (5, 4), 4),
        (lambda: nn.BatchNorm2d(4), (5, 4, 3, 2), 2),
    ],
)
def test_normalisations(body: Callable[[], nn.Module], shape: tuple[int, ...], width: int) -> None:
    torch.manual_seed(1)
    module = body()
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(torch.randn(value.shape))
        for name, value in module.named_buffers():
            if name != "num_batches_tracked":
                value.copy_(torch.rand(value.shape) + 0.5)
    check(Pooled(nn.Sequential(nn.Identity(), module, nn.Tanh()), width), data(2, *shape))


@pytest.mark.parametrize("context", [None, 4, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_attention(context: int | None, bias: bool) -> None:
    torch.manual_seed(3)
    attention = nn.MultiheadAttention(4, 2, bias=bias, batch_first=True, kdim=context, vdim=context)
    # Keys' biases shift all scores alike: their gradients are 0 but for rounding.
    check(Pooled(SelfAttention(attention, context), 4), data(4, 5, 3, 4), without=("body.attention.in_proj_bias",))


def test_transformer_encoder() -> None:
    torch.manual_seed(5)
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, activation="gelu", batch_first=True)
    check(
        Pooled(nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), 4),
        data(6, 5, 3, 4),
        without=("body.layers.0.self_attn.in_proj_bias",),
    )


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("batch_first", [True, False])
def test_recurrent(kind: type[nn.RNNBase], batch_first: bool) -> None:
    torch.manual_seed(7)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = kind(2, 3, num_layers=2, bidirectional=True, batch_first=batch_first)
            self.head = nn.Linear(6, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            out, last = self.memory(x if batch_first else x.transpose(0, 1))
            last = last[-1] if isinstance(last, tuple) else last
            return self.head(out.mean(dim=1 if batch_first else 0)) + last.sum(dim=(0, 2))[:, None]

    check(Network(), data(8, 5, 4, 2))


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("both", [True, False])
def test_packed_sequences(kind: type[nn.RNNBase], both: bool) -> None:
    torch.manual_seed(7)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = kind(2, 3, num_layers=2, bidirectional=both, batch_first=True)
            self.head = nn.Linear(6 if both else 3, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            # The length of a sequence is its first number; some are as long as others, and the order is mixed.
            lengths = x[:, 0, 0].long()
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            out, last = self.memory(packed)
            last = last[-1] if isinstance(last, tuple) else last
            out, _ = nn.utils.rnn.pad_packed_sequence(out, batch_first=True)
            return self.head(out.sum(dim=1)) + last.sum(dim=(0, 2))[:, None]

    x = data(8, 5, 4, 2)
    x[:, 0, 0] = torch.tensor([2.0, 4.0, 1.0, 4.0, 3.0])
    check(Network(), x)


def test_shared_weights_are_summed_over_uses() -> None:
    torch.manual_seed(9)

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, CLASSES)
            self.second.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.second(self.first(self.first(x).tanh()).relu()))

    check(Tied(), data(10, 5, 3))


def test_chain_that_uses_a_layer_twice() -> None:
    torch.manual_seed(9)
    shared = nn.Linear(3, 3)
    check(nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), nn.Linear(3, CLASSES)), data(10, 5, 3))


def test_scalar_and_free_parameters_fall_back_to_automatic_differentiation() -> None:
    torch.manual_seed(11)

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.matrix = nn.Parameter(torch.ones(())), nn.Parameter(torch.randn(3, CLASSES))
            self.side = nn.Linear(3, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            # The layer's weight is used outside the layer too: its rule alone would be wrong.
            return self.scale * (x @ self.matrix) + self.side(x) + nn.functional.linear(x**2, self.side.weight)

    check(Scaled(), data(12, 5, 3), rules_only=False)
    model = Scaled()
    system = NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(data(12, 5, 3).float(), torch.zeros(5).long()))
    with pytest.warns(UserWarning, match="Scaled has no layer rule"):
        measure(system)


def test_samples_behind_the_first_dimension_are_noticed() -> None:
    torch.manual_seed(13)

    class TokensFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(3, 4), nn.Linear(4, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x.transpose(0, 1)).tanh().mean(dim=0))

    # As many tokens as samples: shapes alone would not tell.
    check(TokensFirst(), data(14, 3, 3, 3), rules_only=False)
    check(TokensFirst(), data(14, 4, 2, 3), rules_only=False)


def test_a_user_adds_a_rule_with_one_class() -> None:
    class Gain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.gain

    class GainRule:
        layers = (Gain,)
        covers_submodules = False

        def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
            return {"gain": Materialised(use.errors[0] * use.arguments[0])}

    register(GainRule())
    check(nn.Sequential(Gain(), nn.Linear(3, CLASSES)), data(15, 5, 3))


def test_a_rule_of_a_users_own_for_dense_layers_multiplies_inputs_and_errors() -> None:
    class WrittenOut:
        layers = (nn.Linear,)
        covers_submodules = False

        def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
            errors, inputs = use.errors[0], use.arguments[0]
            assert use.module(inputs).dtype == errors.dtype
            return {
                "weight": Materialised(torch.bmm(errors[:, :, None], inputs[:, None]).flatten(1)),
                "bias": Materialised(errors),
            }

    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, CLASSES))
    x, t = torch.randn(30, 5), torch.randint(CLASSES, (30,))
    system = NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))
    expected = measure(system, exact=True)
    register(WrittenOut())
    try:
        got = measure(system, exact=True)
    finally:
        register(LinearRule())
    for name, sketch in expected.items():
        assert (got[name].count, got[name].zeros) == (sketch.count, sketch.zeros)
        # Products of rounded numbers may lie on the other side of an edge, which moves the mean by little.
        means = [(each.edges[:-1] * each.counts).sum() / each.counts.sum() for each in (got[name], sketch)]
        assert means[0] == pytest.approx(means[1], abs=1e-3)


def test_exact_zeros_are_counted_and_never_binned() -> None:
    torch.manual_seed(16)
    x = data(17, 6, 5)
    x[:, :2] = 0.0
    x[:, 2] = -0.0
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, CLASSES))
    with torch.no_grad():
        model[0].bias[0] = -100.0
    check(model, x)


class RootMeanSquares(nn.Module):
    """A normalisation as libraries of language models write it."""

    def __init__(self, width: int, plus: float) -> None:
        super().__init__()
        self.scale, self.plus = nn.Parameter(torch.rand(width) + 0.5), plus

    def forward(self, hidden: Tensor) -> Tensor:
        return (self.plus + self.scale) * hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + 1e-6)


class ChannelScale(nn.Module):
    """Scale and shift of channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.rand(width) + 0.5), nn.Parameter(torch.randn(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.gamma[:, None, None] * x + self.beta[:, None, None]


class OwnDense(nn.Module):
    """A dense layer that is none of torch's, with its weights either way round."""

    def __init__(self, entering: int, leaving: int, *, inputs_first: bool, bias: bool) -> None:
        super().__init__()
        self.inputs_first = inputs_first
        self.matrix = nn.Parameter(torch.randn((entering, leaving) if inputs_first else (leaving, entering)))
        self.register_parameter("shift", nn.Parameter(torch.randn(leaving)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        y = x @ (self.matrix if self.inputs_first else self.matrix.T)
        return y if self.shift is None else y + self.shift


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("plus", [0.0, 1.0])
def test_normalisations_are_recognised_by_what_they_do(width: int, plus: float) -> None:
    torch.manual_seed(18)
    check(Pooled(nn.Sequential(nn.Linear(3, width), RootMeanSquares(width, plus), nn.Tanh()), width), data(19, 5, 4, 3))
    check(Pooled(nn.Sequential(nn.Identity(), ChannelScale(width), nn.Tanh()), 4), data(20, 5, width, 3, 4))


@pytest.mark.parametrize("inputs_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("leaving", [3, 5])
def test_dense_layers_are_recognised_by_what_they_do(inputs_first: bool, bias: bool, leaving: int) -> None:
    torch.manual_seed(21)
    layer = OwnDense(3, leaving, inputs_first=inputs_first, bias=bias)
    check(Pooled(nn.Sequential(nn.Tanh(), layer, nn.Tanh()), leaving), data(22, 5, 4, 3))
    check(nn.Sequential(nn.Tanh(), layer, nn.Tanh(), nn.Linear(leaving, CLASSES)), data(23, 5, 3))


@pytest.mark.parametrize("power", [2, 3])
def test_what_is_not_linear_in_its_weights_is_not_taken_for_a_normalisation(power: int) -> None:
    class Power(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(4) + 0.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.weight**power * x

    torch.manual_seed(24)
    with pytest.warns(UserWarning, match="Power at 0 has no layer rule"):
        measure(NeuralSystem(nn.Sequential(Power(), nn.Linear(4, 3)), nn.MSELoss(), pairs()))
    check(nn.Sequential(Power(), nn.Linear(4, CLASSES)), data(25, 5, 4), rules_only=False)


def pairs() -> TensorDataset:
    return TensorDataset(data(26, 5, 4).float(), data(27, 5, 3).float())


class Flattened(nn.Module):
    """Places of all samples side by side in the first dimension, as routers of experts have them."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.head = inner, nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.inner(x.flatten(0, 1)).reshape(len(x), x.shape[1], -1).tanh().mean(dim=1))


@pytest.mark.parametrize("inner", [lambda: nn.Linear(3, 4), lambda: nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 4))])
def test_places_side_by_side_with_samples(inner: Callable[[], nn.Module]) -> None:
    torch.manual_seed(28)
    check(Flattened(inner()), data(29, 5, 2, 3))


def test_a_module_whose_control_flow_hangs_on_its_inputs_is_passed_sample_by_sample() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.Parameter(torch.randn(2, 4, 3))

        def forward(self, x: Tensor) -> Tensor:
            out = x.new_zeros(len(x), 4)
            for expert in range(2):
                chosen = torch.where((x[:, 0] > 0) == bool(expert))[0]
                if len(chosen):
                    out[chosen] = x[chosen] @ self.weights[expert].T
            return out

    torch.manual_seed(30)
    told = check(Flattened(Experts()), data(31, 5, 2, 3), rules_only=False)
    assert not [each for each in told if "whole network" in each]


def test_outputs_that_are_computed_from_one_another_have_their_own_errors() -> None:
    class Router(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 3))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            logits = x @ self.weight.T
            return logits, logits.exp()

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.router, self.head = Router(), nn.Linear(4, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            logits, scores = self.router(x)
            return self.head(logits.sin() + scores)

    torch.manual_seed(32)
    told = check(Network(), data(33, 5, 3), rules_only=False)
    assert not [each for each in told if "whole network" in each]


def test_layers_that_are_used_without_being_called_are_left_to_the_module_around_them() -> None:
    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project, self.back = nn.Linear(3, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.back((x @ self.project.weight.T + self.project.bias).tanh())

    torch.manual_seed(35)
    model = nn.Sequential(nn.Linear(3, 3), Mixer(), nn.Linear(3, CLASSES))
    told = check(model, data(36, 5, 3), rules_only=False)
    assert [each.partition(" has")[0] for each in told if "layer rule" in each] == [f"{Mixer.__module__}.Mixer at 1"]
    assert not [each for each in told if "whole network" in each]


def test_weights_that_are_computed_from_others() -> None:
    torch.manual_seed(37)
    layer = nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 2), dim=2)
    model = nn.Sequential(nn.Identity(), layer, nn.Tanh(), nn.Flatten(), nn.Linear(8, CLASSES))
    told = check(model, data(38, 5, 3, 3), rules_only=False)
    assert not [each for each in told if "whole network" in each]


@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpointing(reentrant: bool) -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.saves = True
            self.first, self.head = nn.Linear(3, 4), nn.Linear(4, CLASSES)
            self.block = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.LayerNorm(4))

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            inner = checkpoint(self.block, x, use_reentrant=reentrant) if self.saves else self.block(x)
            return self.head(x + torch.tanh(inner))

    torch.manual_seed(39)
    torchs = torch.utils.checkpoint.CheckpointFunction
    model, x = Network().double(), data(40, 5, 3)
    t, loss = torch.arange(5) % CLASSES, nn.CrossEntropyLoss()
    found = measure(NeuralSystem(model, loss, TensorDataset(x, t)), batch_size=3, groups=2, exact=True)
    model.saves = False
    for name, values in plain_gradients(model, loss, x, t).items():
        assert_same_counts(found[name], values, 2)
    # Outside of a pass it is torch's own.
    assert torch.utils.checkpoint.CheckpointFunction is torchs

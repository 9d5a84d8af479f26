"""Normalising functions and gates where they saturate: values and derivatives against mpmath at 900 digits."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import mpmath as mp
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from critlearn.network import tail_exact
from critlearn.network.exact.losses import exact_probability_loss

DIGITS = 900
"""Complements down to 1e-304 are differences of numbers near 1, and derivatives are differences of those."""


class Calling(nn.Module):
    """A user's module that calls a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function, self.gain = function, nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, *x: Tensor) -> Tensor:
        return self.gain * self.function(*x)


def derivatives(function: Callable[..., Any], inputs: Sequence[Tensor], errors: Tensor) -> list[Tensor]:
    """Derivatives of ``sum(errors * function(inputs))`` by a tail-exact copy of a module that calls the function."""
    leaves = [part.clone().requires_grad_() for part in inputs]
    model = function if isinstance(function, nn.Module) else Calling(function)
    output = tail_exact(model)(*leaves)
    return list(torch.autograd.grad((output * errors).sum(), leaves))


def reference(function: Callable[[list[mp.mpf]], list[mp.mpf]], numbers: Sequence[float], errors: Tensor) -> Tensor:
    """The same for a function of mpmath numbers, by differences at many digits."""
    with mp.workdps(DIGITS):
        at = [mp.mpf(number) for number in numbers]
        step = mp.mpf(10) ** (-DIGITS // 2)

        def total(shift: int, size: mp.mpf) -> mp.mpf:
            moved = [number + (size if place == shift else 0) for place, number in enumerate(at)]
            return mp.fsum(w * v for w, v in zip(errors.flatten().tolist(), function(moved), strict=True))

        return torch.tensor(
            [float((total(place, step) - total(place, -step)) / (2 * step)) for place in range(len(at))],
            dtype=torch.float64,
        )


def assert_close(found: Tensor, expected: Tensor, rel: float = 1e-11) -> None:
    """Each value apart: none may hide behind a larger one, and none is an exact zero that should not be."""
    found, expected = found.flatten(), expected.flatten()
    assert found.tolist() == pytest.approx(expected.tolist(), rel=rel, abs=0)


def mp_softmax(x: list[mp.mpf]) -> list[mp.mpf]:
    powers = [mp.exp(number) for number in x]
    return [power / mp.fsum(powers) for power in powers]


def mp_log_softmax(x: list[mp.mpf]) -> list[mp.mpf]:
    total = mp.log(mp.fsum(mp.exp(number) for number in x))
    return [number - total for number in x]


def mp_sigmoid(y: mp.mpf) -> mp.mpf:
    return 1 / (1 + mp.exp(-y))


LOGITS = [[50.0, 0.0, 1.5], [0.3, 0.1, -0.2], [-1.0, 200.0, 3.0], [600.0, 0.0, -3.0], [20.0, 20.0, -30.0], [60.0, 0.0]]


@pytest.mark.parametrize("logits", LOGITS)
@pytest.mark.parametrize(
    ("functions", "oracle"),
    [
        (
            [
                lambda x: torch.softmax(x, 0), lambda x: x.softmax(-1), lambda x: functional.softmax(x, dim=0),
                lambda x: torch.special.softmax(x, 0), lambda x: functional.softmax(x, -1, dtype=torch.float64),
                lambda x: functional.softmin(-x, dim=0), nn.Softmax(dim=0), nn.Softmax(-1),
                lambda x: functional.softmax(x[None], 1, 3)[0],
            ],
            mp_softmax,
        ),
        (
            [
                lambda x: torch.log_softmax(x, 0), lambda x: x.log_softmax(-1), nn.LogSoftmax(dim=0),
                lambda x: functional.log_softmax(x, dim=0), lambda x: torch.special.log_softmax(x, 0),
            ],
            mp_log_softmax,
        ),
    ],
)  # fmt: skip
def test_softmax(logits: list[float], functions: list[Any], oracle: Callable[..., Any]) -> None:
    x = torch.tensor(logits, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    one = torch.zeros_like(x)
    one[0] = -1
    for errors in (torch.randn(x.shape, generator=generator, dtype=torch.float64), one):
        expected = reference(oracle, logits, errors)
        with mp.workdps(DIGITS):
            values = torch.tensor(
                [float(value) for value in oracle([mp.mpf(number) for number in logits])], dtype=torch.float64
            )
        for function in functions:
            assert_close(derivatives(function, [x], errors)[0], expected)
            model = tail_exact(function if isinstance(function, nn.Module) else Calling(function))
            assert_close(model(x).detach(), values, 1e-12)


def test_softmax_under_vmap_and_forwards() -> None:
    logits, tangents = (
        torch.tensor(LOGITS[:4], dtype=torch.float64),
        torch.tensor([1.0, -0.3, 0.4], dtype=torch.float64),
    )
    for function, oracle in ((torch.softmax, mp_softmax), (torch.log_softmax, mp_log_softmax)):
        model = tail_exact(Calling(lambda x, function=function: function(x, 0)))
        pulled = torch.func.vmap(torch.func.grad(lambda x, model=model: (model(x) * tangents).sum()))(logits)
        for row, found in zip(LOGITS[:4], pulled, strict=True):
            assert_close(found, reference(oracle, row, tangents))
        for row in LOGITS[:4]:
            x = torch.tensor(row, dtype=torch.float64)
            _, pushed = torch.func.jvp(model, (x,), (tangents,))
            columns = torch.stack([reference(oracle, row, unit) for unit in torch.eye(3, dtype=torch.float64)])
            # Sums that cancel in truth are as far off as their largest term.
            size = (columns * tangents).abs().amax(dim=1)
            assert bool(((pushed - columns @ tangents).abs() <= 1e-12 * size).all())


def test_second_derivatives_of_softmax() -> None:
    x = torch.tensor([3.0, 0.2, -0.4], dtype=torch.float64, requires_grad=True)
    for function in (torch.softmax, torch.log_softmax):
        for dim in (0, -1):
            assert torch.autograd.gradgradcheck(tail_exact(Calling(lambda x, f=function, d=dim: f(x, d))), (x,))


@pytest.mark.parametrize("margin", [0.5, 50.0, 120.0, 700.0])
@pytest.mark.parametrize("true", [0, 1, 2])
def test_cross_entropy(margin: float, true: int) -> None:
    logits = [margin, 0.0, 1.25]
    x, target = torch.tensor([logits], dtype=torch.float64), torch.tensor([true])
    soft = functional.one_hot(target, 3).double()
    one = torch.ones(1, dtype=torch.float64)
    expected = reference(lambda y: [-mp_log_softmax(y)[true]], logits, one)
    forms: list[Callable[[Tensor], Tensor]] = [
        lambda x: functional.cross_entropy(x, target),
        lambda x: functional.cross_entropy(x, target, reduction="none"),
        lambda x: functional.cross_entropy(x[0], target[0]),
        lambda x: functional.cross_entropy(x, soft),
        lambda x: functional.cross_entropy(x, soft, reduction="sum"),
        lambda x: functional.cross_entropy(x[:, :, None], target[:, None]),
        lambda x: functional.nll_loss(functional.log_softmax(x, 1), target),
        lambda x: -torch.log_softmax(x, -1).gather(1, target[:, None])[:, 0],
        lambda x: nn.CrossEntropyLoss()(x, target),
    ]
    for form in forms:
        assert_close(derivatives(form, [x], one)[0], expected)


def test_cross_entropy_has_all_settings_of_torch() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(6, 4, 5, generator=generator, dtype=torch.float64)
    target = torch.randint(4, (6, 5), generator=generator)
    target[0, 0] = -100
    soft = torch.softmax(torch.randn(6, 4, 5, generator=generator, dtype=torch.float64), 1)
    weight = torch.rand(4, generator=generator, dtype=torch.float64)
    for reduction in ("none", "mean", "sum"):
        for settings in ({}, {"weight": weight}, {"label_smoothing": 0.1}, {"ignore_index": 2}):
            for given in (target, soft):
                if given is soft and "ignore_index" in settings:
                    continue
                keywords = {**settings, "reduction": reduction}
                if "ignore_index" in settings:
                    given = given.clamp(min=0)
                expected = functional.cross_entropy(x, given, **keywords)
                found = tail_exact(Calling(lambda x, g=given, k=keywords: functional.cross_entropy(x, g, **k)))(x)
                assert torch.allclose(found, expected, rtol=1e-12)
                mine = derivatives(
                    lambda x, g=given, k=keywords: functional.cross_entropy(x, g, **k), [x], torch.ones_like(expected)
                )[0]
                leaf = x.clone().requires_grad_()
                (plain,) = torch.autograd.grad(functional.cross_entropy(leaf, given, **keywords).sum(), leaf)
                assert torch.allclose(mine, plain, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("at", [0.4, 50.0, -50.0, 300.0, -300.0])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_logistic_loss(at: float, target: float) -> None:
    x, t, one = (
        torch.tensor([at], dtype=torch.float64),
        torch.tensor([target], dtype=torch.float64),
        torch.ones(1).double(),
    )
    expected = reference(lambda y: [mp.log(1 + mp.exp((1 - 2 * target) * y[0]))], [at], one)
    for form in (
        lambda x: functional.binary_cross_entropy_with_logits(x, t),
        lambda x: nn.BCEWithLogitsLoss(reduction="sum")(x, t),
        lambda x: functional.binary_cross_entropy_with_logits(x, t, reduction="none"),
    ):
        assert_close(derivatives(form, [x], one)[0], expected)


@pytest.mark.parametrize("at", [0.4, 50.0, -30.0, 300.0])
def test_loss_of_probabilities(at: float) -> None:
    y = torch.tensor([at], dtype=torch.float64)

    def loss(y: Tensor) -> Tensor:
        return functional.binary_cross_entropy(torch.sigmoid(y), torch.ones_like(y), reduction="none")

    (found,) = derivatives(loss, [y], torch.ones(1, dtype=torch.float64))
    assert_close(found, reference(lambda x: [-mp.log(mp_sigmoid(x[0]))], [at], torch.ones(1)))


def test_loss_of_probabilities_has_all_settings_of_torch() -> None:
    p = torch.tensor([[0.3, 0.0, 1.0], [0.9, 0.5, 0.2]], dtype=torch.float64)
    t = torch.tensor([[0.2, 0.0, 1.0], [1.0, 0.7, 0.0]], dtype=torch.float64)
    for reduction in ("mean", "sum", "none"):
        for weight in (None, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)):
            expected = functional.binary_cross_entropy(p, t, weight, reduction=reduction)
            torch.testing.assert_close(exact_probability_loss(p, t, weight, reduction=reduction), expected)


@pytest.mark.parametrize("at", [0.4, -6.0, -12.0, -20.0])
def test_gelu_by_tanh(at: float) -> None:
    y = torch.tensor([at], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)

    def form(x: list[mp.mpf]) -> list[mp.mpf]:
        return [x[0] / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x[0] + mp.mpf(0.044715) * x[0] ** 3)))]

    for function in (lambda x: functional.gelu(x, approximate="tanh"), Calling(nn.GELU("tanh"))):
        (found,) = derivatives(function, [y], one)
        assert_close(found, reference(form, [at], one))


def test_logistic_loss_has_all_settings_of_torch() -> None:
    generator = torch.Generator().manual_seed(3)
    x, t = torch.randn(6, 3, generator=generator).double(), torch.rand(6, 3, generator=generator).double()
    weight = torch.rand(3, generator=generator).double()
    for settings in ({}, {"weight": weight}, {"pos_weight": weight}):
        for reduction in ("none", "mean", "sum"):
            loss = nn.BCEWithLogitsLoss(reduction=reduction, **settings)
            found = tail_exact(Calling(lambda x, loss=loss: functional.binary_cross_entropy_with_logits(
                x, t, loss.weight, None, None, loss.reduction, loss.pos_weight)))(x)  # fmt: skip
            assert torch.allclose(found, loss(x, t), rtol=1e-12)


@pytest.mark.parametrize("gate", [0.4, 50.0, -50.0, 300.0, -300.0])
def test_gated_units(gate: float) -> None:
    x, errors = (
        torch.tensor([[0.7, -1.2, gate, -gate]], dtype=torch.float64),
        torch.tensor([[1.0, 0.4]], dtype=torch.float64),
    )
    expected = reference(
        lambda y: [y[0] * mp_sigmoid(y[2]), y[1] * mp_sigmoid(y[3])], x[0].tolist(), errors
    )  # fmt: skip
    for form in (functional.glu, lambda x: functional.glu(x, dim=1), nn.GLU(), nn.GLU(dim=1)):
        assert_close(derivatives(form, [x], errors)[0], expected)
    silu = reference(lambda y: [y[0] * mp_sigmoid(y[0])], [gate], torch.ones(1))
    for form in (functional.silu, nn.SiLU()):
        assert_close(derivatives(form, [torch.tensor([gate], dtype=torch.float64)], torch.ones(1).double())[0], silu)


def _sequence_of(kind: str, weights: list[float], x: list[mp.mpf], start: list[mp.mpf]) -> list[mp.mpf]:
    """States of a layer of one unit with one input, from textbook formulas; four rows of weights for each gate."""
    w_in, w_state, b_in, b_state = (weights[at::4] for at in range(4))
    state, memory, found = start[0], start[-1], []
    for number in x:
        y = [w * number + b for w, b in zip(w_in, b_in, strict=True)]
        z = [w * state + b for w, b in zip(w_state, b_state, strict=True)]
        if kind == "LSTM":
            entry, forget, cell, output = (a + b for a, b in zip(y, z, strict=True))
            memory = mp_sigmoid(forget) * memory + mp_sigmoid(entry) * mp.tanh(cell)
            state = mp_sigmoid(output) * mp.tanh(memory)
        elif kind == "GRU":
            update = mp_sigmoid(y[1] + z[1])
            state = (1 - update) * mp.tanh(y[2] + mp_sigmoid(y[0] + z[0]) * z[2]) + update * state
        else:
            state = mp.tanh(y[0] + z[0])
        found.append(state)
    return found


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("bias", [0.3, 45.0, -45.0, 120.0])
def test_recurrent_layers(kind: str, bias: float) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(gates, 4, generator=generator, dtype=torch.float64)
    # The new state of a GRU stays free, or it would be a constant.
    rows[: 2 if kind == "GRU" else gates, 2] = bias
    x, errors = torch.randn(3, generator=generator).double(), torch.randn(3, generator=generator).double()
    expected = reference(
        lambda y: _sequence_of(kind, rows.flatten().tolist(), y[:3], y[3:]), [*x.tolist(), 0.2, 0.2], errors
    )
    layer = getattr(nn, kind)(1, 1, batch_first=True).double()
    cell = getattr(nn, f"{kind}Cell")(1, 1).double()
    for module, suffix in ((layer, "_l0"), (cell, "")):
        for at, name in enumerate(("weight_ih", "weight_hh", "bias_ih", "bias_hh")):
            value = getattr(module, name + suffix)
            value.data.copy_(rows[:, at].reshape(value.shape))
    exact, own_cell = tail_exact(layer), tail_exact(cell)
    start = torch.full((1, 1, 1), 0.2, dtype=torch.float64, requires_grad=True)

    def of_layer(x: Tensor) -> Tensor:
        return exact(x[None, :, None], (start, start) if kind == "LSTM" else start)[0].flatten()

    def of_cell(x: Tensor) -> Tensor:
        state: Any = (start[0], start[0]) if kind == "LSTM" else start[0]
        found = []
        for number in x:
            state = own_cell(number.reshape(1, 1), state)
            found.append((state[0] if kind == "LSTM" else state).flatten())
        return torch.cat(found)

    for form in (of_layer, of_cell):
        leaf = x.clone().requires_grad_()
        assert_close(torch.autograd.grad((form(leaf) * errors).sum(), leaf)[0], expected[:3], 1e-10)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize(
    "settings",
    [{}, {"num_layers": 2}, {"bidirectional": True, "num_layers": 2}, {"bias": False}, {"batch_first": True}],
)
def test_recurrent_layers_give_what_torch_gives(kind: Any, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = kind(3, 4, **settings).double()
    x = torch.randn(5, 6, 3, dtype=torch.float64)
    for value in (x, x[:, 0]):
        expected, found = layer(value), tail_exact(layer)(value)
        for one, other in zip((expected[0], *_flat(expected[1])), (found[0], *_flat(found[1])), strict=True):
            assert torch.allclose(one, other, rtol=1e-12, atol=1e-14)


def _flat(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def test_packed_and_projected_sequences_are_torch_s_own() -> None:
    torch.manual_seed(0)
    layer, projected = nn.LSTM(3, 4).double(), nn.LSTM(3, 4, proj_size=2).double()
    x = torch.randn(5, 6, 3, dtype=torch.float64)
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 4, 3, 3, 2, 1]))
    assert torch.equal(tail_exact(layer)(packed)[0].data, layer(packed)[0].data)
    assert torch.equal(tail_exact(projected)(x)[0], projected(x)[0])


def _mp_attention(
    q: list[list[mp.mpf]], k: list[list[mp.mpf]], v: list[list[mp.mpf]], allowed: Tensor, scale: float, added: Tensor
) -> list[mp.mpf]:
    found = []
    for row, query in enumerate(q):
        places = [at for at in range(len(k)) if bool(allowed[row, at])]
        if not places:
            found += [mp.mpf(0)] * len(v[0])
            continue
        scores = [mp.fdot(query, k[at]) * scale + float(added[row, at]) for at in places]
        weights = mp_softmax(scores)
        found += [mp.fsum(w * v[at][unit] for w, at in zip(weights, places, strict=True)) for unit in range(len(v[0]))]
    return found


def _by_hand(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, added: Tensor) -> Tensor:
    scores = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]) + added).masked_fill(~mask, -math.inf)
    return functional.softmax(scores, dim=-1) @ v


ATTENTIONS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "by hand": _by_hand,
    "mask": lambda q, k, v, mask, added: functional.scaled_dot_product_attention(q, k, v, attn_mask=mask),
    "numbers": lambda q, k, v, mask, added: functional.scaled_dot_product_attention(
        q, k, v, added.masked_fill(~mask, -math.inf)
    ),
    "samples": lambda q, k, v, mask, added: functional.scaled_dot_product_attention(
        torch.cat([q[None]] * 3), torch.cat([k[None]] * 3), torch.cat([v[None]] * 3), mask
    )[1],
}


@pytest.mark.parametrize("form", ATTENTIONS)
@pytest.mark.parametrize("size", [1.0, 15.0, 40.0])
def test_attention(form: str, size: float) -> None:
    generator = torch.Generator().manual_seed(4)
    q, k = (size * torch.randn(3, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    v, errors = (torch.randn(3, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = torch.ones(3, 3, dtype=torch.bool).tril() if form != "samples" else torch.ones(3, 3, dtype=torch.bool)
    added = torch.randn(3, 3, generator=generator).double() if form in ("by hand", "numbers") else torch.zeros(3, 3)
    numbers = [*q.flatten().tolist(), *k.flatten().tolist(), *v.flatten().tolist()]

    def oracle(y: list[mp.mpf]) -> list[mp.mpf]:
        rows = [y[at : at + 2] for at in range(0, len(y), 2)]
        return _mp_attention(rows[:3], rows[3:6], rows[6:], mask, 1 / math.sqrt(2), added)

    with mp.workdps(DIGITS):
        expected = reference(lambda y: oracle(y), numbers, errors)
    found = torch.cat([
        part.flatten()
        for part in derivatives(lambda q, k, v: ATTENTIONS[form](q, k, v, mask, added), [q, k, v], errors)
    ])  # fmt: skip
    # The factor sqrt(2) of the oracle is rounded to a double, and logits reach 3,000.
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-300)


def test_attention_has_all_settings_of_torch() -> None:
    generator = torch.Generator().manual_seed(5)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    q, k, v = drawn(2, 4, 5, 3), drawn(2, 4, 6, 3), drawn(2, 4, 6, 2)
    some = drawn(5, 6) > -0.5
    some[2] = False
    cases: list[tuple[tuple[Tensor, ...], dict[str, Any]]] = [
        ((q, k, v), {}),
        ((q, k, v), {"is_causal": True}),
        ((q, k, v), {"scale": 0.3}),
        ((q, k, v), {"attn_mask": some}),
        ((q, k, v), {"attn_mask": drawn(5, 6)}),
        ((q, k, v), {"attn_mask": drawn(2, 1, 5, 6)}),
        ((q, k, v), {"attn_mask": drawn(2, 4, 5, 6) > 0}),
        ((q, k[:, :2], v[:, :2]), {"enable_gqa": True}),
        ((q[0], k[0], v[0]), {}),
        ((q[0, 0], k[0, 0], v[0, 0]), {}),
    ]
    for inputs, settings in cases:
        whole = [*inputs, *(value for value in settings.values() if isinstance(value, Tensor))]
        leaves = [part.clone().requires_grad_(part.is_floating_point()) for part in whole]
        settings = {**settings, "attn_mask": leaves[3]} if len(leaves) > 3 else settings
        exact = tail_exact(
            Calling(lambda q, k, v, s=settings: functional.scaled_dot_product_attention(q, k, v, **s))
        )  # fmt: skip
        expected, found = functional.scaled_dot_product_attention(*leaves[:3], **settings), exact(*leaves[:3])
        assert torch.allclose(found, expected, rtol=1e-10, atol=1e-13)
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        errors = drawn(*expected.shape)
        for one, other in zip(
            torch.autograd.grad(expected, wanted, errors), torch.autograd.grad(found, wanted, errors), strict=True
        ):
            assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("need_weights", [True, False])
def test_multi_head_attention_has_all_settings_of_torch(need_weights: bool) -> None:
    torch.manual_seed(1)
    x, other = torch.randn(3, 5, 8, dtype=torch.float64), torch.randn(3, 4, 8, dtype=torch.float64)
    padding = torch.tensor([[False] * 4, [False, False, True, True], [False, True, False, True]])
    causal = torch.ones(5, 4, dtype=torch.bool).triu(1)
    for made in ({}, {"bias": False}, {"kdim": 8, "vdim": 8}, {"add_bias_kv": True}, {"add_zero_attn": True}):
        module = nn.MultiheadAttention(8, 2, batch_first=True, **made).double()
        for masks in ({}, {"key_padding_mask": padding}, {"attn_mask": causal}, {"attn_mask": causal.double()}):
            keywords = {**masks, "need_weights": need_weights}
            expected, found = (net(x, other, other, **keywords)[0] for net in (module, tail_exact(module)))
            assert torch.allclose(found, expected, rtol=1e-10, atol=1e-13)
            wanted = [value for value in module.parameters()]
            one = torch.autograd.grad(expected.sin().sum(), wanted)
            copied = tail_exact(module)
            two = torch.autograd.grad(
                copied(x, other, other, **keywords)[0].sin().sum(), list(copied.parameters())
            )  # fmt: skip
            for plain, exact in zip(one, two, strict=True):
                assert torch.allclose(plain, exact, rtol=1e-8, atol=1e-12)

"""Torch's functions are the catalogue's activations, and stand in for them only while a step is made."""

import copy

import pytest
import torch
from torch import Tensor, nn

from critlearn.compositions import ACTIVATIONS, Activation
from critlearn.network import ActivationModule, tail_exact
from critlearn.network.exact.gelu import ExactGelu
from critlearn.network.training.plain_activations import PLAIN_ACTIVATIONS, PlainActivations


@pytest.mark.parametrize("name", PLAIN_ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_torchs_functions_are_the_catalogues(name: str, dtype: torch.dtype) -> None:
    # 0 is where forms of the two half-lines meet.
    y = torch.cat([torch.linspace(-50, 50, 201), torch.tensor([0.0, -0.0, 1e-20, 700.0, -700.0])]).to(dtype)
    y.requires_grad_()
    value = PLAIN_ACTIVATIONS[name](y)
    (slope,) = torch.autograd.grad(value.sum(), y)
    double = y.detach().double()
    spacing = torch.finfo(dtype).eps
    torch.testing.assert_close(value.double(), ACTIVATIONS[name](double), rtol=8 * spacing, atol=8 * spacing)
    torch.testing.assert_close(slope.double(), ACTIVATIONS[name].derivative(double), rtol=8 * spacing, atol=8 * spacing)


def calls_of_exact_forms(model: nn.Module, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> int:
    """Number of calls of exact activations in a pass."""
    calls: list[str] = []
    exact = Activation.__call__
    with monkeypatch.context() as patch:
        patch.setattr(Activation, "__call__", lambda self, y: (calls.append(self.name), exact(self, y))[1])
        model(x)
    return len(calls)


def test_modules_are_exact_again_after_the_context_and_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = nn.Sequential(ActivationModule("softsign"), ActivationModule("symlog")), torch.ones(2)
    plain = PlainActivations(model)
    assert calls_of_exact_forms(model, x, monkeypatch) == 2
    with plain:
        assert calls_of_exact_forms(model, x, monkeypatch) == 1
    assert calls_of_exact_forms(model, x, monkeypatch) == 2
    with pytest.raises(ZeroDivisionError), plain:
        1 / 0  # noqa: B018
    assert calls_of_exact_forms(model, x, monkeypatch) == 2


def test_a_shared_module_counts_once_and_gelu_is_known() -> None:
    tanh = ActivationModule("tanh")
    with PlainActivations(nn.Sequential(tanh, nn.Linear(2, 2), tanh, tail_exact(nn.GELU()))) as _:
        assert vars(tanh)["forward"] is torch.tanh
    assert "forward" not in vars(tanh)
    gelu = ExactGelu()
    y = torch.linspace(-5, 5, 51, dtype=torch.float64)
    with PlainActivations(gelu):
        torch.testing.assert_close(gelu(y), nn.functional.gelu(y), rtol=0, atol=0)


def test_hooks_are_called() -> None:
    module = ActivationModule("tanh")
    module.register_forward_hook(lambda _, __, output: 3 * output)
    seen: list[Tensor] = []
    module.register_full_backward_hook(lambda _, __, gradient: seen.append(gradient[0]))
    y = torch.ones(2, requires_grad=True)
    with PlainActivations(module):
        output = module(y)
        output.sum().backward()
    torch.testing.assert_close(output, 3 * torch.tanh(y))
    assert len(seen) == 1


class _Scaled(ActivationModule):
    def forward(self, pre_activation: Tensor) -> Tensor:
        return 2 * super().forward(pre_activation)


def test_subclasses_replaced_methods_and_activations_of_users_are_left_alone() -> None:
    softsign = ACTIVATIONS["softsign"]
    named_tanh = ActivationModule(
        Activation(
            "tanh",
            softsign.range,
            softsign.value,
            softsign.log_derivative,
            softsign.log_upper_gap,
            softsign.log_lower_gap,
        )
    )
    own = ActivationModule("tanh")
    own.forward = lambda y: y + 1  # type: ignore[method-assign]
    y = torch.linspace(-2, 2, 9)
    model = nn.ModuleList([_Scaled("tanh"), named_tanh, own])
    before = [module(y) for module in model]
    with PlainActivations(model):
        assert all(torch.equal(module(y), value) for module, value in zip(model, before, strict=True))
    assert torch.equal(own(y), y + 1)


def test_a_copy_made_afterwards_is_exact() -> None:
    model = nn.Sequential(ActivationModule("tanh"))
    with PlainActivations(model):
        model(torch.ones(1))
    assert "forward" not in vars(copy.deepcopy(model)[0])

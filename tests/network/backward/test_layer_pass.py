"""Inputs and errors of layers against automatic differentiation, one sample after the other, and closed forms."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from critlearn.compositions import Composition
from critlearn.errors import InvalidInputError
from critlearn.network import ActivationModule, NeuralSystem, feed_forward
from critlearn.network.backward.layer_pass import LayerPass
from critlearn.network.backward.layer_use import LayerUse
from critlearn.network.checks.finiteness import NonFiniteError
from reference.networks import Pairs, Residual, classes, loop_of_autograd, seeded, tanh_squared


class Attending(nn.Module):
    """Attention over three places, which is no chain."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.value, self.out = nn.Linear(2, 3), nn.Linear(2, 3), nn.Linear(9, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(len(x), 3, 2)
        q, v = self.query(x), self.value(x)
        return self.out(((q @ q.transpose(1, 2)).softmax(dim=-1) @ v).flatten(1))


def doubled(model: nn.Sequential) -> nn.Sequential:
    model[0].register_forward_hook(lambda module, arguments, output: 2 * output)
    return model


def tied() -> nn.Sequential:
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(6, 1))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "dense": lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Softsign(), nn.Linear(4, 1)),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Linear(6, 5), nn.Sigmoid()), nn.Identity(), nn.Linear(5, 1)),
    "activation first": lambda: nn.Sequential(nn.Tanh(), nn.Linear(6, 1)),
    "normalised": lambda: nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 1)),
    "hooked": lambda: doubled(nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1))),
    "tied": tied,
    "branched": Residual,
    "attention": Attending,
}


def layers_of(model: nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}


def summed(uses: list[LayerUse]) -> dict[str, Tensor]:
    """Gradients of dense layers from their uses: outer products of errors and inputs, added up over all uses."""
    found: dict[str, Tensor] = {}
    for use in uses:
        (x,), (errors,) = use.arguments, use.errors
        samples, scale = len(x), use.log_scale.exp()[:, None, None]
        x, errors = x.reshape(samples, -1, x.shape[-1]), errors.reshape(samples, -1, errors.shape[-1])
        for local, value in (("weight", errors.mT @ x), ("bias", errors.sum(dim=1)[:, :, None])):
            name = f"{use.layer}.{local}"
            found[name] = found.get(name, torch.zeros(())) + scale * value
    return found


@pytest.mark.parametrize("name", MODELS)
def test_outer_products_are_the_gradients_of_a_loop_of_autograd(name: str) -> None:
    model, data = seeded(MODELS[name]), classes((7, 6))
    system = NeuralSystem(model, Composition("tanh", "mse"), data)
    found = summed(LayerPass(system, layers_of(model))(data.x, data.t))
    expected = loop_of_autograd(model, tanh_squared, data.x, data.t)
    for layer in layers_of(model):
        for variable in (f"{layer}.weight", f"{layer}.bias"):
            want = expected[variable].reshape(found[variable].shape)
            torch.testing.assert_close(found[variable], want, rtol=1e-9, atol=1e-12 * float(want.abs().max()))


@pytest.mark.parametrize("name", ["dense", "branched"])
def test_a_second_batch_depends_on_its_own_samples_alone(name: str) -> None:
    model, data = seeded(MODELS[name]), classes((8, 6))
    learning_pass = LayerPass(NeuralSystem(model, Composition("tanh", "mse"), data), layers_of(model))
    first, alone = learning_pass(data.x, data.t), learning_pass(data.x[3:5], data.t[3:5])
    assert [use.layer for use in first] == [use.layer for use in alone]
    for whole, part in zip(first, alone, strict=True):
        torch.testing.assert_close(whole.errors[0][3:5], part.errors[0], rtol=1e-12, atol=0)
        assert torch.equal(whole.log_scale[3:5], part.log_scale)


def test_errors_of_a_chain_of_units_are_their_closed_form_below_the_smallest_number() -> None:
    # One unit in each layer, y -> tanh(w y): ln|error| at layer l is the output's plus a sum of ln w + ln(1 - tanh^2).
    depth, weight, x = 200, 4.0, 9.0
    model = feed_forward(1, [1] * depth, "tanh", seed=0)
    with torch.no_grad():
        for value in model.parameters():
            value.fill_(weight if value.dim() == 2 else 0.0)
    data = Pairs(torch.tensor([[x]], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64))
    system = NeuralSystem(model, Composition("identity", "mse"), data)
    uses = {use.layer: use for use in LayerPass(system, layers_of(model))(data.x, data.t)}
    states, slopes = [x], []
    for _ in range(depth):
        y = torch.tensor(weight * states[-1], dtype=torch.float64)
        states.append(float(y.tanh()))
        slopes.append(float(-2 * (y.abs() + torch.log1p((-2 * y.abs()).exp()) - torch.log(torch.tensor(2.0).double()))))
    log_error = torch.log(torch.tensor(2 * abs(weight * states[-1] - 1), dtype=torch.float64))
    for layer in range(depth, 0, -1):
        log_error = log_error + torch.log(torch.tensor(weight).double()) + slopes[layer - 1]
        use = uses[f"hidden{layer}"]
        assert use.log_errors is not None
        assert float(use.log_errors[0, 0] + use.log_scale[0]) == pytest.approx(float(log_error), rel=1e-12)
    assert float(log_error) < -900


def test_links_are_classified_when_the_pass_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    data = classes((4, 6))
    model = seeded(MODELS["normalised"])
    learning_pass = LayerPass(NeuralSystem(model, Composition("tanh", "mse"), data), {"0", "1", "3"})
    asked: list[object] = []

    def hooked(module: object) -> bool:
        asked.append(module)
        return False

    monkeypatch.setattr("critlearn.network.backward.links.hooked", hooked)
    learning_pass(data.x, data.t)
    assert asked == []
    assert [name for name, _ in learning_pass.named_links] == ["0", "1", "2", "3"]


def test_only_wanted_layers_are_told_of() -> None:
    data = classes((4, 6))
    system = NeuralSystem(seeded(MODELS["dense"]), Composition("tanh", "mse"), data)
    assert [use.layer for use in LayerPass(system, {"2"})(data.x, data.t)] == ["2"]
    assert isinstance(LayerPass(system, set()).model[1], ActivationModule)


def test_what_is_not_finite_is_named_with_its_layer_and_sample() -> None:
    model, data = seeded(MODELS["dense"]), classes((5, 6))
    learning_pass = LayerPass(NeuralSystem(model, Composition("tanh", "mse"), data), layers_of(model))
    broken = data.x.clone()
    broken[3, 2] = torch.inf
    with pytest.raises(NonFiniteError, match=r'the input of layer "0" \(Linear\) is not finite at sample 3'):
        learning_pass(broken, data.t)
    with pytest.raises(InvalidInputError, match=r"Linear of the model cannot take inputs of shape \(5, 4\)"):
        learning_pass(data.x[:, :4], data.t)

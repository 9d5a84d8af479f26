"""Fluctuations of random graphs at their fixed points, against gradients of the pass unrolled by automatic means."""

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from critlearn import Composition, NeuralSystem, analyze, certify, fit_power_law, measure, predict
from critlearn.network import BulkBoundaryNetwork

pytestmark = pytest.mark.filterwarnings("ignore:.*has no layer rule")

KINDS = ["tanh", "sigmoid", "softsign", "arctan", "relu", torch.nn.Tanh()]


def random_graph(seed: int, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> BulkBoundaryNetwork:
    """Graph of 4 to 8 neurons with 4 in 10 of all edges, cycles and self-loops among them."""
    generator = torch.Generator().manual_seed(seed)
    neurons = int(torch.randint(4, 9, (), generator=generator))
    mask = torch.rand(neurons, neurons, generator=generator) < 0.4
    mask[:, 0] = False
    mask[0, 1] = mask[1, -1] = True
    graph = BulkBoundaryNetwork(
        neurons,
        mask.nonzero().T,
        inputs=[0],
        outputs=[neurons - 1],
        activations=KINDS[seed % len(KINDS)],
        seed=seed,
        dtype=dtype,
    )
    with torch.no_grad():
        graph.weight.mul_(scale)
    return graph


def data(dtype: torch.dtype, samples: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    t = torch.where(torch.rand(samples, 1, generator=generator) < 0.5, 1.0, -1.0)
    return (0.7 * t + torch.randn(samples, 1, generator=generator)).to(dtype), t.to(dtype)


def unrolled_gradients(graph: BulkBoundaryNetwork, x: torch.Tensor, t: torch.Tensor) -> np.ndarray:
    """``|gradient|`` of ``ln(1 + exp(-t y))`` after 1000 steps, by automatic differentiation of plain operations."""
    weight, bias = (value.detach().double() for value in (graph.weight, graph.bias))
    functions = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu}
    functions |= {"softsign": lambda y: y / (1 + y.abs()), "arctan": lambda y: 2 / torch.pi * torch.atan(y)}
    module = graph.activations[0]
    function = functions[module.activation.name] if hasattr(module, "activation") else module
    free = list(graph.free)

    def loss(weight: torch.Tensor, bias: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        matrix = torch.zeros(graph.neurons, graph.neurons, dtype=torch.float64)
        matrix = matrix.index_put((graph.edges[1], graph.edges[0]), weight)[1:]
        state = torch.zeros(len(free), dtype=torch.float64)
        for _ in range(1000):
            state = function(matrix @ torch.cat([x, state]) + bias)
        y = (matrix @ torch.cat([x, state]) + bias)[-1]
        return torch.nn.functional.softplus(-t[0] * y)

    rows = [
        torch.cat(torch.autograd.functional.jacobian(lambda w, b, i=i: loss(w, b, x[i], t[i]), (weight, bias)))  # type: ignore[misc]
        for i in range(len(x))
    ]
    return torch.stack(rows).abs().numpy()


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs_at_their_fixed_points(seed: int) -> None:
    dtype = torch.float32 if seed % 3 == 0 else torch.float64
    graph = random_graph(seed, dtype, scale=1.3)
    x, t = data(dtype)
    assert {status.value for status in graph.activation_pass(x).statuses} == {"fixed point"}
    found = measure(NeuralSystem(graph, Composition("sigmoid", "bce"), TensorDataset(x, t)), exact=True)["all"]
    expected = unrolled_gradients(graph, x[:3].double(), t[:3].double())
    few = measure(NeuralSystem(graph, Composition("sigmoid", "bce"), TensorDataset(x[:3], t[:3])), exact=True)["all"]
    assert found.count == 60 * (graph.weight.numel() + graph.bias.numel())
    assert few.zeros == (expected == 0).sum()
    positive = np.sort(np.log(expected[expected > 0]))
    bounds = few.edges
    assert few.log_range is not None
    counts = np.histogram(positive, bounds)[0]
    # Values at an edge may fall on either side of it.
    assert np.abs(np.cumsum(counts) - np.cumsum(few.counts)).max() <= 1


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_a_pass_in_a_chosen_precision_and_a_slow_fixed_point(precision: torch.dtype) -> None:
    weights = torch.zeros(3, 3, dtype=torch.float64)
    weights[1, 0], weights[1, 1], weights[2, 1] = 1e-3, 1 - 1e-3, 1.0
    graph = BulkBoundaryNetwork.from_matrix(weights, inputs=[0], outputs=[2])
    with torch.no_grad():
        graph.bias.zero_()
    x, t = data(torch.float64)
    found = measure(NeuralSystem(graph, Composition("tanh", "mse"), TensorDataset(x, t)), precision=precision)
    assert found["all"].count == 60 * 5


@pytest.mark.parametrize("kind", ["fixed point", "random graph"])
def test_fit_predict_and_analyze_end_to_end(kind: str) -> None:
    if kind == "fixed point":
        graph = BulkBoundaryNetwork(4, torch.tensor([[0, 1, 2, 1], [1, 2, 1, 3]]), inputs=[0], outputs=[3], seed=4)
    else:
        graph = random_graph(5)
    x, t = data(torch.float64, samples=2000)
    dataset = TensorDataset(x, t)
    loss = Composition("sigmoid", "bce")
    system = NeuralSystem(graph, loss, dataset)
    prediction = predict(system)
    fit = fit_power_law(measure(system)["bias"])
    assert fit.grade is not None
    assert set(system.parameters) <= set(prediction)
    analysis = analyze(graph, loss, dataset)
    assert analysis.fluctuations["all"].count == 2000 * sum(value.numel() for value in system.parameters.values())
    assert "weight" in analysis.summary()


def test_a_trained_graph_is_certified() -> None:
    """The search for a way down meets places where passes take tens of thousands of steps, or have no end."""
    generator = torch.Generator().manual_seed(2)
    t = torch.where(torch.rand(60, 1, generator=generator) < 0.5, 1.0, -1.0).double()
    x = 0.7 * t + torch.randn(60, 1, generator=generator).double()
    graph = BulkBoundaryNetwork(4, torch.tensor([[0, 1, 2, 1], [1, 2, 1, 3]]), inputs=[0], outputs=[3], seed=4)
    loss = Composition("sigmoid", "bce")
    optimizer = torch.optim.Adam(graph.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss.value(graph(x), t).mean().backward()
        optimizer.step()

    def unrolled(w: torch.Tensor, b: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        first, second, last = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64), b[2]
        for _ in range(1000):
            first, second = torch.tanh(w[0] * x[0] + w[2] * second + b[0]), torch.tanh(w[1] * first + b[1])
            last = w[3] * first + b[2]
        return torch.nn.functional.softplus(-t[0] * last)

    each = torch.func.vmap(torch.func.grad(unrolled, argnums=(0, 1)), in_dims=(None, None, 0, 0))
    changes = torch.cat(each(graph.weight.detach(), graph.bias.detach(), x, t), dim=1)
    share = float((changes.mean(dim=0).abs() <= 0.1 * changes.std(dim=0, correction=0)).double().mean())
    found = certify(NeuralSystem(graph, loss, TensorDataset(x, t)))
    assert found.fraction == share == 1.0
    assert found.status.value == "EQUILIBRIUM"
    assert found.curvature is not None
    # The network that was certified is as it was.
    assert graph.most_steps == 100_000

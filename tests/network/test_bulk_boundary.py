"""Networks on graphs: passes against plain loops, implicit against unrolled, and the whole road on them."""

import math

import pytest
import torch
from torch import Tensor, nn

from critlearn.comparison import compare
from critlearn.compositions import Composition
from critlearn.duality import DualityMap
from critlearn.equilibrium import equilibrate
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import measure
from critlearn.inference import fit_power_law
from critlearn.network import BulkBoundaryNetwork, NeuralSystem, PassStatus, graph_of, learning_pass, sequence_of
from critlearn.prediction import predict_from_margins
from reference.networks import classes, seeded

LOSS = Composition("sigmoid", "bce")


def random_graph(steps: int | None, *, scale: float = 1.0, neurons: int = 9, seed: int = 0) -> BulkBoundaryNetwork:
    """Edges drawn at random, cycles and self-loops among them, with two kinds of activations."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(neurons, neurons, generator=generator) < 0.5
    mask[:, :3] = False
    mask[3, 0] = mask[-1, 3] = True
    mask[3, 0] = False
    mask[0, 3] = True
    edges = mask.nonzero().T
    kinds = ["tanh"] * 6 + ["softsign"] * (neurons - 6)
    graph = BulkBoundaryNetwork(neurons, edges, inputs=[0, 1, 2], outputs=[neurons - 1], activations=kinds, steps=steps)
    with torch.no_grad():
        graph.weight.mul_(scale)
    return graph


def plain_pass(graph: BulkBoundaryNetwork, x: Tensor, steps: int) -> Tensor:
    """Pre-activations of all neurons by the definition, one neuron after the other."""
    weight = {tuple(edge): value for edge, value in zip(graph.edges.T.tolist(), graph.weight.tolist(), strict=True)}
    bias = dict(zip(graph.free, graph.bias.tolist(), strict=True))
    rows = []
    for sample in x.tolist():
        state = [0.0] * graph.neurons
        state[:3] = sample
        for _ in range(steps):
            y = [0.0] * graph.neurons
            for (source, target), value in weight.items():
                y[target] += value * state[source]
            for neuron, value in bias.items():
                y[neuron] += value
                at = torch.tensor(y[neuron], dtype=torch.float64)
                state[neuron] = float(torch.tanh(at) if neuron < 6 else at / (1 + at.abs()))
        rows.append(y)
    return torch.tensor(rows, dtype=torch.float64)


def test_unrolled_pass_is_the_definition() -> None:
    graph, x = random_graph(4), classes((5, 3)).x
    torch.testing.assert_close(graph(x), plain_pass(graph, x, 4)[:, -1:], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("biased", [True, False])
def test_sequences_become_graphs_and_come_back(biased: bool) -> None:
    model = seeded(
        lambda: nn.Sequential(
            nn.Linear(6, 5, bias=biased),
            nn.Tanh(),
            nn.Linear(5, 4, bias=biased),
            nn.SiLU(),
            nn.Linear(4, 2, bias=biased),
        )
    )
    data = classes((7, 6), outputs=2)
    graph = graph_of(model)
    back = sequence_of(graph)
    for other in (graph, back):
        torch.testing.assert_close(other(data.x), model(data.x), rtol=1e-12, atol=1e-14)
    passes = [learning_pass(NeuralSystem(m, LOSS, data), data.x, data.t) for m in (model, graph, back)]
    weights = torch.cat([passes[0].gradients[f"{at}.weight"].flatten(1) for at in (0, 2, 4)], dim=1)
    torch.testing.assert_close(passes[1].gradients["weight"], weights, rtol=1e-12, atol=1e-14)
    if biased:
        biases = torch.cat([passes[0].gradients[f"{at}.bias"] for at in (0, 2, 4)], dim=1)
        torch.testing.assert_close(passes[1].gradients["bias"], biases, rtol=1e-12, atol=1e-14)
    else:
        assert "bias" not in passes[1].gradients
    for name, gradient in passes[0].gradients.items():
        torch.testing.assert_close(passes[2].gradients[name], gradient, rtol=1e-12, atol=1e-14)


def test_an_activation_in_two_places_of_a_sequence_acts_in_both() -> None:
    activation, x = nn.ReLU(), classes((7, 5)).x
    model = seeded(lambda: nn.Sequential(nn.Linear(5, 6), activation, nn.Linear(6, 6), activation, nn.Linear(6, 3)))
    torch.testing.assert_close(graph_of(model)(x), model(x), rtol=1e-12, atol=1e-14)


def test_frozen_parameters_stay_frozen_on_a_graph() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)))
    for layer in (model[0], model[2]):
        layer.bias.requires_grad_(False)
    graph = graph_of(model)
    assert [name for name, value in graph.named_parameters() if value.requires_grad] == ["weight"]
    back = sequence_of(graph)
    x = classes((7, 2)).x
    torch.testing.assert_close(back(x), model(x), rtol=1e-12, atol=1e-14)
    assert [value.requires_grad for value in back.parameters()] == [True, False, True, False]
    model[0].weight.requires_grad_(False)
    with pytest.raises(InvalidInputError, match="some are frozen"):
        graph_of(model)


@pytest.mark.usefixtures("without_shape_checker")
def test_sequences_that_are_no_graphs_are_refused() -> None:
    layer = nn.Linear(3, 3)
    with pytest.raises(InvalidInputError, match="in two places"):
        graph_of(nn.Sequential(layer, nn.Tanh(), layer))
    for other in ("a", nn.Linear(2, 3)):
        with pytest.raises(InvalidInputError, match=r"nn\.Sequential; got"):
            graph_of(other)


def test_learning_by_implicit_differentiation_is_that_of_many_steps() -> None:
    data = classes((4, 3))
    implicit, unrolled = random_graph(None), random_graph(200)
    torch.testing.assert_close(implicit(data.x), unrolled(data.x), rtol=1e-12, atol=1e-13)
    found, expected = (learning_pass(NeuralSystem(g, LOSS, data), data.x, data.t) for g in (implicit, unrolled))
    for name in ("weight", "bias"):
        torch.testing.assert_close(found.gradients[name], expected.gradients[name], rtol=1e-10, atol=1e-12)
    # Second derivatives too: the Jacobian of the duality map.
    jacobians = [DualityMap(NeuralSystem(g, LOSS, data)).jacobian(data.x[0], data.t[0]) for g in (implicit, unrolled)]
    torch.testing.assert_close(jacobians[0].dense(), jacobians[1].dense(), rtol=1e-9, atol=1e-11)


def two_neurons(weight: float, *, kind: str = "tanh") -> BulkBoundaryNetwork:
    """One input that drives a neuron with an edge to itself, which drives the output."""
    graph = BulkBoundaryNetwork(
        3, torch.tensor([[0, 1, 1], [1, 1, 2]]), inputs=[0], outputs=[2], activations=kind, steps=None
    )
    with torch.no_grad():
        graph.weight.copy_(torch.tensor([1.0, weight, 1.0]))
        graph.bias.zero_()
    return graph


@pytest.mark.parametrize(
    ("graph", "status", "period"),
    [
        (two_neurons(0.5), PassStatus.SETTLED, 0),
        (two_neurons(-3.0), PassStatus.OSCILLATES, 2),
        (two_neurons(2.0, kind="identity"), PassStatus.DIVERGES, 0),
    ],
    ids=["settles", "oscillates", "diverges"],
)
def test_the_pass_says_where_it_ends(graph: BulkBoundaryNetwork, status: PassStatus, period: int) -> None:
    x = torch.tensor([[0.1]], dtype=torch.float64)
    found = graph.activation_pass(x)
    assert (found.statuses, found.periods) == ((status,), (period,))
    if status is PassStatus.SETTLED:
        assert float(found.residual) < 1e-11
        state = float(found.states[0, 1])
        assert state == pytest.approx(math.tanh(0.1 + 0.5 * state), rel=1e-10)
    else:
        with pytest.raises(InvalidInputError, match=f"no fixed point at sample 0 .* {status}"):
            graph(x)


def test_losses_of_the_boundary_and_of_the_bulk() -> None:
    data = classes((4, 3))
    graph = random_graph(None, scale=0.6)
    x, t = data.x, 0.5 * data.t
    found = graph.activation_pass(x, t)
    torch.testing.assert_close(found.states[:, -1], t)
    y = found.states @ graph.dense_weight().T
    y[:, 3:] += graph.bias
    activated = torch.cat([torch.tanh(y[:, 3:6]), nn.functional.softsign(y[:, 6:])], dim=1)
    expected = (t - activated[:, -1]) ** 2 / 2
    torch.testing.assert_close(graph.boundary_loss(x, t), expected)
    # At the fixed point of the bulk only the boundary is out of place; before it, all neurons are.
    torch.testing.assert_close(graph.bulk_loss(x, t), expected)
    short = random_graph(2, scale=0.6)
    assert bool((short.bulk_loss(x, t) > short.boundary_loss(x, t)).all())
    assert graph.boundary.tolist() == [True] * 3 + [False] * 5 + [True]


@pytest.mark.filterwarnings("ignore:.*has no layer rule")
@pytest.mark.parametrize("steps", [None, 5], ids=["fixed point", "recurrent steps"])
def test_the_whole_road_on_a_graph(steps: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    t = torch.where(torch.rand(60, generator=generator) < 0.5, 1.0, -1.0).double()
    x = 0.7 * t[:, None] + torch.randn(60, 3, generator=generator, dtype=torch.float64)
    data = classes((60, 3))
    data.x, data.t, data.tensors = x, t, (x, t)
    system = NeuralSystem(random_graph(steps, scale=0.5), LOSS, data)
    approach = equilibrate(system, epochs=22, batch_size=50, lr=1e-2)
    assert approach.losses[-1] < approach.losses[0]
    trained = approach.system
    fluctuations = measure(trained, batch_size=100)
    assert fluctuations["all"].count == 60 * sum(value.numel() for value in trained.parameters.values())
    margins = (trained.model(x)[:, 0] * t).detach().numpy()
    fit = fit_power_law(fluctuations["bias"])
    verdict = compare("the biases", fit, predict_from_margins(LOSS, margins))
    assert verdict.statement
    assert DualityMap(trained).jacobian(x[0], t[0]).rank() == 3


def test_what_is_no_graph_is_refused() -> None:
    edges = torch.tensor([[0, 1], [1, 2]])
    with pytest.raises(InvalidInputError, match="neurons 0 to 1"):
        BulkBoundaryNetwork(2, edges, inputs=[0], outputs=[1])
    with pytest.raises(InvalidInputError, match="different neurons"):
        BulkBoundaryNetwork(3, edges, inputs=[0], outputs=[0])
    with pytest.raises(InvalidInputError, match="into an input neuron"):
        BulkBoundaryNetwork(3, edges.flip(0), inputs=[0], outputs=[2])
    with pytest.raises(InvalidInputError, match="at least one step"):
        BulkBoundaryNetwork(3, edges, inputs=[0], outputs=[2], steps=0)
    with pytest.raises(InvalidInputError, match="3 input neurons"):
        random_graph(2)(torch.zeros(2, 4).double())
    with pytest.raises(InvalidInputError, match="no sequence"):
        sequence_of(random_graph(2))
    with pytest.raises(InvalidInputError, match="LayerNorm"):
        graph_of(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))

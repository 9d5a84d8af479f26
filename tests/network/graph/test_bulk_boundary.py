"""Networks on graphs: passes against plain loops, implicit against unrolled, and the whole road on them."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from critlearn.comparison import compare
from critlearn.compositions import Composition
from critlearn.duality import DualityMap
from critlearn.equilibrium import equilibrate
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import measure
from critlearn.inference import fit_power_law
from critlearn.network import BulkBoundaryNetwork, NeuralSystem, PassStatus, graph_of, sequence_of
from critlearn.network.backward.learning_pass import learning_pass
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
        graph.weight.copy_(torch.tensor([1.0, weight, 1.0], dtype=torch.float64))
        graph.bias.zero_()
    return graph


@pytest.mark.parametrize(
    ("graph", "status", "period"),
    [
        (two_neurons(0.5), PassStatus.FIXED_POINT, 0),
        (two_neurons(-3.0), PassStatus.OSCILLATES, 2),
        (two_neurons(2.0, kind="identity"), PassStatus.DIVERGES, 0),
    ],
    ids=["settles", "oscillates", "diverges"],
)
def test_the_pass_says_where_it_ends(graph: BulkBoundaryNetwork, status: PassStatus, period: int) -> None:
    x = torch.tensor([[0.1]], dtype=torch.float64)
    found = graph.activation_pass(x)
    assert (found.statuses, found.periods) == ((status,), (period,))
    if status is PassStatus.FIXED_POINT:
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


@pytest.mark.parametrize("loss", ["boundary_loss", "bulk_loss"])
@pytest.mark.parametrize("steps", [None, 1, 4], ids=["fixed point", "one step", "four steps"])
@pytest.mark.parametrize("dense", [True, False], ids=["matrix", "edges"])
def test_gradients_of_the_losses_are_those_of_central_differences(loss: str, steps: int | None, dense: bool) -> None:
    data = classes((4, 3))
    graph = random_graph(steps, scale=0.6)
    graph._dense = dense
    x, t = data.x.clone().requires_grad_(), (0.5 * data.t).requires_grad_()
    getattr(graph, loss)(x, t).sum().backward()
    for value in (*graph.parameters(), x, t):
        flat, gradient = value.detach().reshape(-1), value.grad.reshape(-1)
        for at in range(len(flat)):
            ends = []
            for step in (1e-5, -1e-5):
                flat[at] += step
                ends.append(float(getattr(graph, loss)(x.detach(), t.detach()).sum().detach()))
                flat[at] -= step
            assert float(gradient[at]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6, abs=1e-9)
    # The weights of the bulk have a part in the value, and so in the gradient.
    assert float(graph.weight.grad.abs().min()) > 0 or steps == 1


def test_a_loss_without_a_fixed_point_is_refused() -> None:
    # Neurons 2 and 3 oscillate whatever the held output is.
    edges = torch.tensor([[0, 2, 3, 3], [2, 3, 2, 1]])
    graph = BulkBoundaryNetwork(4, edges, inputs=[0], outputs=[1])
    with torch.no_grad():
        graph.weight.copy_(torch.tensor([1.0, -3.0, 3.0, 1.0]))
    for loss in (graph.boundary_loss, graph.bulk_loss):
        with pytest.raises(InvalidInputError, match="no fixed point at sample 0"):
            loss(torch.tensor([[0.1]]).double(), torch.tensor([[0.5]]).double())


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


def ring(length: int, gain: float, *, sign: float = -1.0, kind: str = "tanh") -> BulkBoundaryNetwork:
    """An input that drives the first neuron of a ring, whose product of weights has a sign."""
    ahead = [place % length + 1 for place in range(1, length + 1)]
    edges = torch.tensor([[0, *range(1, length + 1)], [1, *ahead]])
    graph = BulkBoundaryNetwork(length + 1, edges, inputs=[0], outputs=[length], activations=kind)
    with torch.no_grad():
        graph.weight.fill_(gain)
        graph.weight[0], graph.weight[1] = 1.0, sign * gain
        graph.bias.zero_()
    return graph


@pytest.mark.parametrize("length", [1, 2, 5, 7, 9, 40])
def test_oscillations_of_any_period_are_found(length: int) -> None:
    graph = ring(length, 3.0)
    x = torch.tensor([[0.3]], dtype=torch.float64)
    found = graph.activation_pass(x)
    assert found.statuses == (PassStatus.OSCILLATES,)
    # The shortest time after which the state comes back, by following it.
    weight, state = graph.dense_weight().detach(), found.states[0]
    after, count = state, 0
    while count == 0 or float((after - state).abs().max()) > 1e-6:
        after = torch.tanh(weight @ after)
        after[0] = x[0, 0]
        count += 1
    assert found.periods == (count,)
    with pytest.raises(InvalidInputError, match=f"it oscillates with period {count} "):
        graph(x)


@pytest.mark.parametrize("gain", [0.5, 0.995, -0.998])
def test_slow_passes_are_followed_to_their_fixed_point(gain: float) -> None:
    graph = two_neurons(gain, kind="identity")
    x = torch.tensor([[0.1]], dtype=torch.float64)
    assert graph.activation_pass(x).statuses == (PassStatus.FIXED_POINT,)
    assert float(graph(x)) == pytest.approx(0.1 / (1 - gain), rel=1e-9)
    slow = two_neurons(1.002, kind="identity")
    assert slow.activation_pass(x).statuses == (PassStatus.DIVERGES,)


def sparse_matrix(neurons: int = 150, each: int = 3) -> Tensor:
    """Few weights for each neuron but the first three, which are inputs; with a ring, so that none is cut off."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.zeros(neurons, neurons, dtype=torch.float64)
    for _ in range(each):
        sources = torch.randint(0, neurons, (neurons,), generator=generator)
        weights[torch.arange(neurons), sources] = 0.3 * torch.randn(neurons, generator=generator).double()
    weights[:3] = 0
    return weights


@pytest.mark.parametrize("steps", [4, None], ids=["steps", "fixed point"])
def test_few_edges_give_what_the_whole_matrix_gives(steps: int | None) -> None:
    weights, data = sparse_matrix(), classes((3, 3))
    graph = BulkBoundaryNetwork.from_matrix(weights, inputs=[0, 1, 2], outputs=[149], steps=steps)
    torch.testing.assert_close(graph.dense_weight(), weights, rtol=0, atol=0)
    assert graph.weight.numel() == int((weights != 0).sum())
    matrix = weights.clone().requires_grad_()
    bias = torch.cat([torch.zeros(3).double(), graph.bias.detach()])

    def output(x: Tensor) -> Tensor:
        state = torch.cat([x, torch.zeros(147).double()])
        y = matrix @ state + bias
        for _ in range((steps or 120) - 1):
            state = torch.cat([x, torch.tanh(y)[3:]])
            y = matrix @ state + bias
        return y[149]

    torch.testing.assert_close(graph(data.x)[:, 0], torch.stack([output(x) for x in data.x]), rtol=1e-11, atol=1e-13)
    found = learning_pass(NeuralSystem(graph, LOSS, data), data.x, data.t)
    for at in range(3):
        loss = nn.functional.softplus(-data.t[at] * output(data.x[at]))
        (gradient,) = torch.autograd.grad(loss, matrix)
        wanted = gradient[graph.edges[1], graph.edges[0]]
        torch.testing.assert_close(
            found.gradients["weight"][at] * found.log_scale[at].exp(), wanted, rtol=1e-9, atol=1e-12
        )


def test_second_derivatives_by_edges_are_those_of_central_differences() -> None:
    graph = BulkBoundaryNetwork.from_matrix(sparse_matrix(), inputs=[0, 1, 2], outputs=[149], steps=4)
    data = classes((3, 3))
    phi = DualityMap(NeuralSystem(graph, LOSS, data))
    matrix = phi.jacobian(data.x[0], data.t[0]).dense()
    for at in range(3):
        step = torch.zeros(3).double()
        step[at] = 1e-5
        ends = [phi((data.x[0] + sign * step)[None], data.t[:1]) for sign in (1, -1)]
        high, low = (torch.cat([change.flatten() for change in end.values()]) for end in ends)
        torch.testing.assert_close((high - low) / 2e-5, matrix[:, at], rtol=0, atol=1e-8)


class Sizes(TorchDispatchMode):
    """Largest tensor that an operation makes."""

    largest = 0

    def __torch_dispatch__(self, function: object, types: object, arguments: tuple = (), keywords: dict | None = None):
        made = function(*arguments, **(keywords or {}))
        for value in made if isinstance(made, tuple | list) else (made,):
            if isinstance(value, Tensor):
                self.largest = max(self.largest, value.numel())
        return made


def test_passes_through_few_edges_take_memory_for_these() -> None:
    neurons = 2000
    sources = torch.randint(0, neurons, (2 * neurons,), generator=torch.Generator().manual_seed(0))
    edges = torch.unique(torch.stack([sources, torch.arange(2 * neurons) % (neurons - 3) + 3]), dim=1)
    graph = BulkBoundaryNetwork(neurons, edges, inputs=[0, 1, 2], outputs=[neurons - 1], steps=3)
    x = classes((2, 3)).x
    with Sizes() as sizes:
        graph(x).sum().backward()
        graph.activation_pass(x)
    assert 0 < sizes.largest <= 2 * edges.shape[1]


def test_masks_choose_the_edges() -> None:
    weights = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 2.0, 1.0]])
    mask = torch.tensor([[False, False, False], [True, False, False], [True, True, False]])
    graph = BulkBoundaryNetwork.from_matrix(weights, mask, inputs=[0], outputs=[2], steps=2)
    assert graph.dense_weight().tolist() == [[0, 0, 0], [0.5, 0, 0], [0, 2, 0]]
    assert graph.weight.dtype == torch.float32
    with pytest.raises(InvalidInputError, match="square matrix"):
        BulkBoundaryNetwork.from_matrix(weights[:2], inputs=[0], outputs=[2])
    with pytest.raises(InvalidInputError, match="True at edges"):
        BulkBoundaryNetwork.from_matrix(weights, mask.float(), inputs=[0], outputs=[2])


@pytest.mark.usefixtures("without_shape_checker")
def test_input_that_does_not_fit_a_graph_is_named() -> None:
    edges = torch.tensor([[0, 1], [1, 2]])
    for given, message in (
        ({"edges": edges + 0.5}, "integers; got torch.float32"),
        ({"edges": torch.tensor([[0, 1, 1], [1, 2, 2]])}, "from 1 to 2 is given twice"),
        ({"steps": 1.5}, "an integer; got 1.5"),
        ({"steps": True}, "an integer; got True"),
        ({"inputs": 0}, "sequences of neurons; got 0"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            BulkBoundaryNetwork(3, **{"edges": edges, "inputs": [0], "outputs": [2], **given})
    graph, x = random_graph(None), classes((4, 3)).x
    for call, message in (
        (lambda: graph(x.float()), "float64; got inputs of type torch.float32"),
        (lambda: graph(x * math.nan), "not finite at sample 0"),
        (lambda: graph.activation_pass(x * math.inf), "not finite at sample 0"),
        (lambda: graph.activation_pass(x, torch.zeros(4, 2).double()), "1 output neurons"),
        (lambda: graph.boundary_loss(x, torch.zeros(2, 1).double()), "targets of 4 samples"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            call()


def test_graphs_work_on_other_devices() -> None:
    graph = BulkBoundaryNetwork(3, torch.tensor([[0, 1], [1, 2]]), inputs=[0], outputs=[2], steps=2).to("meta")
    empty = torch.empty(2, 1, device="meta", dtype=torch.float64)
    assert graph(empty).shape == (2, 1)
    assert graph._hold(torch.empty(2, 2, device="meta", dtype=torch.float64), empty).shape == (2, 2)

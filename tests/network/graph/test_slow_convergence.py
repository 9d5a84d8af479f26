"""Slow activation passes: ended at the fixed points of closed forms, and at no other one."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from critlearn.errors import InvalidInputError
from critlearn.network.graph.activation_pass import PassStatus, iterate
from critlearn.network.graph.bulk_boundary import BulkBoundaryNetwork


def linear(
    couplings: Sequence[Sequence[float]], dtype: torch.dtype = torch.float64, most_steps: int = 100_000
) -> BulkBoundaryNetwork:
    """Bulk of linear neurons behind one input that acts on the first of them by 0.5; the last one is the output."""
    size = len(couplings)
    weights = torch.zeros(size + 1, size + 1, dtype=dtype)
    weights[1:, 1:] = torch.tensor(couplings, dtype=dtype)
    weights[1, 0] = 0.5
    graph = BulkBoundaryNetwork.from_matrix(
        weights, inputs=[0], outputs=[size], activations="identity", most_steps=most_steps
    )
    with torch.no_grad():
        graph.bias.zero_()
    return graph


@pytest.mark.parametrize("gain", [1 - 1e-3, 1 - 1e-4, 1 - 1e-5, -(1 - 1e-4)])
def test_a_slow_neuron_ends_where_the_geometric_series_does(gain: float) -> None:
    x = torch.tensor([[0.4], [-1.0], [0.0]], dtype=torch.float64)
    found = linear([[gain]]).activation_pass(x)
    assert set(found.statuses) == {PassStatus.FIXED_POINT}
    # Followed step by step the pass would take ln(1e-9 / (1 - gain)) / ln(gain), up to a million.
    assert found.steps < 5000
    torch.testing.assert_close(found.states[:, 1], 0.5 * x[:, 0] / (1 - gain), rtol=1e-8, atol=1e-12)


def test_a_pass_of_too_many_steps_is_refused() -> None:
    x = torch.tensor([[0.4]], dtype=torch.float64)
    # Newton's method is tried at 257, 513, 1025, ... steps: the first finds a factor of 1 - 1e-4, the fifth 1 - 1e-5.
    for gain, most_steps in ((1 - 1e-4, 300), (1 - 1e-5, 5000)):
        graph = linear([[gain]], most_steps=most_steps)
        assert graph(x).item() == pytest.approx(0.2 / (1 - gain), rel=1e-6)
    graph = linear([[1 - 1e-5]], most_steps=1000)
    assert graph.activation_pass(x).statuses == (PassStatus.NOT_CONVERGED,)
    assert graph.activation_pass(x).steps == 1000
    with pytest.raises(InvalidInputError, match="has not converged"):
        graph(x)
    with pytest.raises(InvalidInputError, match="at least one step, an integer; got 0"):
        linear([[0.5]], most_steps=0)


def test_slow_spirals_and_mixed_batches() -> None:
    angle, gain = 0.7, 1 - 1e-4
    turn = [[gain * math.cos(angle), -gain * math.sin(angle)], [gain * math.sin(angle), gain * math.cos(angle)]]
    graph = linear(turn)
    x = torch.tensor([[0.4], [0.0]], dtype=torch.float64)
    system = torch.eye(2, dtype=torch.float64) - torch.tensor(turn, dtype=torch.float64)
    expected = torch.linalg.solve(system, torch.tensor([0.2, 0.0], dtype=torch.float64))
    torch.testing.assert_close(graph.activation_pass(x).states[0, 1:], expected, rtol=1e-8, atol=0)


def test_single_precision_and_gradients() -> None:
    gain = 1 - 1e-3
    x = torch.tensor([[0.4]], dtype=torch.float32)
    assert float(linear([[gain]], torch.float32).activation_pass(x).states[0, 1]) == pytest.approx(200.0, rel=1e-3)
    graph = linear([[1 - 1e-4]])
    graph(torch.tensor([[0.4]], dtype=torch.float64)).sum().backward()
    assert graph.weight.grad is not None
    # The output is y = 0.5 x + w y: dy/dw = 0.5 x / (1 - w)^2, dy/dx-weight = x / (1 - w).
    assert graph.weight.grad.tolist() == pytest.approx([0.4e4, 0.2e8], rel=1e-6)


def test_a_pass_that_slows_down_for_ever_ends_at_its_limit() -> None:
    """x <- tanh x falls as sqrt(3 / (2 n)): changes shrink, though by no constant factor."""
    found = iterate(torch.tanh, torch.full((1, 1), 0.5, dtype=torch.float64), None)
    # One more step changes x by x^3 / 3.
    assert abs(float(found.state)) < 2e-3


def weak_flip(x: Tensor) -> Tensor:
    return torch.tanh(-1.001 * x)


def past_a_saddle(x: Tensor) -> Tensor:
    """Slowly towards 0 in the first neuron, slowly away from 0 in the second one, which ends at 1."""
    first, second = x[:, :1], x[:, 1:]
    return torch.cat([0.999 * first, second + 0.01 * second * (1 - second)], dim=1)


def test_no_pass_ends_at_a_fixed_point_that_is_unstable() -> None:
    cycle = iterate(weak_flip, torch.full((1, 1), 0.3, dtype=torch.float64), None)
    # The two states solve x = tanh(1.001 x): x^2 = 3 (0.001) / 1.001^3 to leading order.
    assert abs(float(cycle.state)) == pytest.approx(math.sqrt(0.003), rel=0.02)
    start = torch.tensor([[1.0, 1e-7]], dtype=torch.float64)
    found = iterate(past_a_saddle, start, None).state
    torch.testing.assert_close(found, torch.tensor([[0.0, 1.0]], dtype=torch.float64), rtol=0, atol=1e-8)


def test_chaos_beside_a_fixed_point_is_given_up_soon() -> None:
    def step(x: Tensor) -> Tensor:
        return torch.cat([3.9 * x[:1] * (1 - x[:1]), 0.5 * x[1:]])

    found = iterate(step, torch.tensor([[0.3], [0.3]], dtype=torch.float64), None)
    assert found.steps <= 20_000
    assert float((step(found.state) - found.state)[0].abs()) > 1e-3
    assert float(found.state[1]) == pytest.approx(0.0, abs=1e-9)

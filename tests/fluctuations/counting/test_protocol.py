"""Counting kernels against plain histograms: exact ones bin for bin, convolved ones within their stated bound."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from critlearn.errors import InvalidInputError
from critlearn.fluctuations.counting.cpu import CpuCounter
from critlearn.fluctuations.counting.protocol import Counter
from critlearn.fluctuations.counting.torch import TensorCounter
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch

GROUPS = 3
NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: its kernels stay untested")
KINDS = ["numba", "tensor-cpu", pytest.param("tensor-cuda", marks=NO_CUDA)]


def _counter(kind: str, *, exact: bool = True) -> Counter:
    return CpuCounter(GROUPS, exact=exact) if kind == "numba" else TensorCounter(GROUPS, kind.removeprefix("tensor-"))


def _device(kind: str) -> str:
    return "cuda" if kind.endswith("cuda") else "cpu"


def _random(seed: int, rows: int, outputs: int, width: int, zeros: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    errors = torch.randn(rows, outputs, dtype=torch.float64, generator=generator)
    inputs = torch.randn(rows, width, dtype=torch.float64, generator=generator)
    inputs *= 10.0 ** torch.randint(-40, 3, (rows, 1), generator=generator)
    for part in (errors, inputs):
        part[torch.rand(part.shape, generator=generator) < zeros] = 0.0
    scale = 100 * torch.randn(rows, dtype=torch.float64, generator=generator)
    return errors, inputs, scale, torch.randint(GROUPS, (rows,), generator=generator)


def _expected(errors: Tensor, inputs: Tensor, scale: Tensor, group: Tensor) -> LogSketch:
    negative = (errors < 0)[:, :, None] ^ (inputs < 0)[:, None, :]
    logs = errors.abs().log()[:, :, None] + inputs.abs().log()[:, None, :] + scale[:, None, None]
    size = negative[0].numel()
    return LogSketch.from_logs(
        logs.flatten().numpy(), negative.flatten().numpy(), np.repeat(group.numpy(), size), GROUPS
    )


def _cumulative(sketch: LogSketch, first: int, bins: int) -> np.ndarray:
    """Counts below each edge of a common grid, by sign and group."""
    counts = np.zeros((2, GROUPS, bins), dtype=np.int64)
    at = slice(sketch.first_bin - first, sketch.first_bin - first + sketch.bins)
    counts[0, :, at], counts[1, :, at] = sketch.group_positive, sketch.group_negative
    return counts.cumsum(axis=2)


def _add_outer(counter: Counter, kind: str, case: tuple[Tensor, Tensor, Tensor, Tensor]) -> LogSketch:
    errors, inputs, scale, group = (part.to(_device(kind)) for part in case)
    counter.add_outer(errors.abs().log(), errors < 0, inputs, scale, group)
    return counter.sketch()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 6),
    outputs=st.integers(1, 20),
    width=st.integers(1, 20),
    zeros=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_products_are_counted_each_in_its_bin(
    kind: str, seed: int, rows: int, outputs: int, width: int, zeros: float
) -> None:
    case = _random(seed, rows, outputs, width, zeros)
    assert _add_outer(_counter(kind), kind, case) == _expected(*case)


@pytest.mark.parametrize(("outputs", "width"), [(128, 784), (700, 64), (300, 300), (2, 70_000)])
@pytest.mark.parametrize("zeros", [0.0, 0.6])
def test_convolved_counts_are_at_most_one_bin_off_and_not_shifted(outputs: int, width: int, zeros: float) -> None:
    case = _random(5, 4, outputs, width, zeros)
    exact, convolved = _expected(*case), _add_outer(_counter("numba", exact=False), "numba", case)
    assert convolved.count == exact.count
    assert np.array_equal(convolved.group_zeros, exact.group_zeros)
    assert np.array_equal(convolved.group_positive.sum(axis=1), exact.group_positive.sum(axis=1))
    first = min(exact.first_bin, convolved.first_bin) - 1
    bins = max(exact.first_bin + exact.bins, convolved.first_bin + convolved.bins) + 1 - first
    true, ours = _cumulative(exact, first, bins), _cumulative(convolved, first, bins)
    # One bin off at most: what lies below an edge lay below the next one, and the other way round.
    assert (ours[..., :-1] <= true[..., 1:]).all()
    assert (true[..., :-1] <= ours[..., 1:]).all()
    # On the average not shifted. A shift is that of the rounded side's one value, common to many products: errors of
    # uniform rounding, standard deviation 0.29 + 0.29, over the sides' independent values.
    pairs = exact.count - exact.zeros
    shift = ((true - ours).sum() / pairs).item()
    assert abs(shift) < 4 * 0.41 / np.sqrt(4 * min(outputs, width) * (1 - zeros))


def test_rows_with_subnormal_inputs_are_counted_in_their_bins() -> None:
    generator = torch.Generator().manual_seed(7)
    errors = torch.randn(3, 90, dtype=torch.float64, generator=generator)
    inputs = torch.randn(3, 300, dtype=torch.float64, generator=generator)
    inputs *= torch.tensor([[1e-312], [1e-308], [1e-320]], dtype=torch.float64)
    assert ((inputs.abs() < torch.finfo(torch.float64).tiny) & (inputs != 0)).any(dim=1).all()
    case = (errors, inputs, torch.zeros(3, dtype=torch.float64), torch.arange(3))
    assert _add_outer(_counter("numba", exact=False), "numba", case) == _expected(*case)


@pytest.mark.parametrize(
    "inputs",
    [
        lambda generator: torch.randint(2, (300, 784), generator=generator).double(),
        lambda generator: torch.ones(300, 784, dtype=torch.float64),
        lambda generator: 2.0 ** torch.randint(-5, 5, (300, 784), generator=generator).double(),
        lambda generator: torch.where(torch.rand(300, 784, generator=generator) < 0.5, 0.3, -0.7).double(),
    ],
)
@pytest.mark.parametrize("errors_on_grid", [False, True])
def test_convolved_counts_of_inputs_that_repeat_are_not_shifted(
    inputs: Callable[[torch.Generator], Tensor], errors_on_grid: bool
) -> None:
    generator = torch.Generator().manual_seed(2)
    given = inputs(generator)
    logs = torch.randn(300, 128, dtype=torch.float64, generator=generator)
    if errors_on_grid:
        logs = ((logs / BIN_WIDTH).floor() + 0.25) * BIN_WIDTH
    counter = CpuCounter(GROUPS)
    counter.add_outer(logs, logs < 0, given, torch.zeros(300, dtype=torch.float64), torch.arange(300))
    counts = counter.sketch()
    middle = (counts.counts * (counts.edges[:-1] / BIN_WIDTH + 0.5)).sum() / counts.counts.sum()
    # Each sample has as many products as it has inputs that are not zero.
    filled = (given != 0).double()
    number = filled.sum(dim=1)
    log_input = (torch.where(given == 0, 1.0, given).abs().log() * filled).sum(dim=1)
    true = (logs.mean(dim=1) * number + log_input).sum() / number.sum() / BIN_WIDTH
    # Two dithers of a sample, evenly spread: what is left is smaller than that of 300 random ones, 0.3 / sqrt(300).
    assert abs(middle - float(true)) < 0.01


def test_layers_of_more_outputs_than_a_histogram_of_16_bits_counts() -> None:
    errors = torch.full((2, 70_000), 0.3, dtype=torch.float64)
    inputs = torch.full((2, 20), -0.6, dtype=torch.float64)
    counter = CpuCounter(2)
    counter.add_outer(errors.log(), errors < 0, inputs, torch.zeros(2, dtype=torch.float64), torch.arange(2))
    sketch = counter.sketch()
    assert sketch.counts_negative.sum() == sketch.count == 2 * 70_000 * 20
    assert np.abs(sketch.edges[:-1][sketch.counts > 0] - np.log(0.18)).max() <= 2 * BIN_WIDTH


def test_convolution_is_used_where_the_test_above_expects_it() -> None:
    case = _random(5, 4, 128, 784, 0.0)
    assert _add_outer(_counter("numba", exact=False), "numba", case) != _expected(*case)


def test_many_equal_products_do_not_overflow_the_scratch() -> None:
    errors, inputs = torch.ones(1, 3000, dtype=torch.float64), torch.full((1, 3000), -1.5, dtype=torch.float64)
    counter = CpuCounter(1)
    counter.add_outer(errors.log(), errors < 0, inputs, torch.zeros(1, dtype=torch.float64), torch.zeros(1).long())
    sketch = counter.sketch()
    assert sketch.counts_negative.max() == 9_000_000
    assert sketch.counts_positive.sum() == 0
    assert abs(sketch.edges[sketch.counts.argmax()] - np.log(1.5)) <= 2 * BIN_WIDTH


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_values_are_binned_by_their_bits(kind: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(6, 500, dtype=torch.float64, generator=generator)
    values = (values * 10.0 ** torch.randint(-30, 30, values.shape, generator=generator)).to(dtype)
    values[:, :7], values[0, 7] = 0.0, -0.0
    # Powers of two lie on edges, and subnormal numbers have no leading bit.
    values[:, 8], values[:, 9] = 2.0**-9, torch.finfo(dtype).smallest_normal / 37
    group = torch.arange(6) % GROUPS
    scale = torch.arange(6, dtype=torch.float64) * 1000 * BIN_WIDTH
    counter = _counter(kind)
    counter.add_values(values.to(_device(kind)), scale.to(_device(kind)), group.to(_device(kind)))
    logs = values.double().abs().log() + scale[:, None]
    logs[:, 8] = -9 * 64 * BIN_WIDTH + scale + 1e-9
    expected = LogSketch.from_logs(
        logs.flatten().numpy(), (values < 0).flatten().numpy(), group.repeat_interleave(500).numpy(), GROUPS
    )
    if kind == "numba" or dtype == torch.float64:
        assert counter.sketch() == expected


@pytest.mark.parametrize("edges", ["at", "below"])
def test_long_rows_of_singles_are_binned_by_their_bits(edges: str) -> None:
    """Every edge of the grid between 2^-126 and 2^127, the numbers beside it, random ones, both signs, and zeros."""
    on_grid = np.exp2(np.arange(-126 * 64, 127 * 64) / 64).astype(np.float32)
    numbers = on_grid if edges == "at" else np.nextafter(on_grid, np.float32(0))
    numbers = np.concatenate([numbers[1:], np.zeros(100, np.float32), -np.zeros(7, np.float32)])
    rows = np.stack([numbers, -numbers, np.random.default_rng(0).permutation(numbers)])
    scale = BIN_WIDTH * torch.tensor([0.0, -7000.0, 123.0], dtype=torch.float64)
    counter = CpuCounter(GROUPS)
    counter.add_values(torch.from_numpy(rows), scale, torch.tensor([0, 2, 0]))
    found = counter.sketch()
    assert found.group_zeros.tolist() == [214, 0, 107]
    # Judged without logarithms: how many edges, each formed in double precision, are not above a number.
    index = np.searchsorted(np.exp2(np.arange(-127 * 64, 128 * 64) / 64), np.abs(rows).astype(np.float64), side="right")
    for row, group in ((1, 2), (0, 0)):
        grid = index[row][numbers != 0] - 1 - 127 * 64 + round(float(scale[row]) / BIN_WIDTH)
        counts = np.bincount(grid - found.first_bin, minlength=found.bins)
        if row == 1:
            assert np.array_equal(counts, found.group_negative[group])
            assert not found.group_positive[group].any()
        else:
            moved = np.bincount(grid + 123 - found.first_bin, minlength=found.bins)
            positive = counts + moved
            assert np.array_equal(positive, found.group_positive[group])


@pytest.mark.parametrize("kind", KINDS)
def test_logarithms_beyond_the_range_of_numbers(kind: str) -> None:
    logs = torch.tensor([[-5000.3, 4000.7, -torch.inf]], dtype=torch.float64, device=_device(kind))
    counter = _counter(kind)
    group = torch.ones(1, dtype=torch.long, device=_device(kind))
    counter.add_logs(logs, logs < 0, torch.full_like(logs[:, 0], 10.0), group)
    counter.add_zeros(torch.tensor([5], device=_device(kind)), group)
    sketch = counter.sketch()
    assert sketch.group_zeros.tolist() == [0, 6, 0]
    assert sketch.edges[0] <= -4990.3 < sketch.edges[1]
    assert sketch.edges[-2] <= 4010.7 < sketch.edges[-1]


def test_rows_of_one_group_are_shared_out_to_threads_without_loss() -> None:
    case = _random(8, 300, 30, 40, 0.1)
    errors, inputs, scale, _ = case
    counter = CpuCounter(1, exact=True)
    group = torch.zeros(300).long()
    counter.add_outer(errors.abs().log(), errors < 0, inputs, scale, group)
    assert np.array_equal(counter.sketch().counts, _expected(errors, inputs, scale, group).counts)


def test_bins_take_more_than_32_bits_hold() -> None:
    counter = CpuCounter(1)
    values, zero = torch.full((1, 1 << 20), 1.5), torch.zeros(1, dtype=torch.float64)
    counter.add_values(values, zero, torch.zeros(1).long())
    # As if there had been so many before that the next ones do not fit.
    counter._counts[counter._counts > 0] = 2**31 - 2
    counter._held = 2**31 - 2
    counter.add_values(values, zero, torch.zeros(1).long())
    assert counter.sketch().counts.tolist() == [2**31 - 2 + (1 << 20)]


def test_values_that_are_not_finite_are_refused() -> None:
    counter, one = CpuCounter(1), torch.zeros(1).long()
    with pytest.raises(InvalidInputError, match="not finite"):
        counter.add_values(torch.tensor([[1.0, torch.inf]], dtype=torch.float64), torch.zeros(1).double(), one)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [1, 8])
def test_groups_joined_in_halves_are_those_of_half_as_many(
    kind: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With more threads than groups, each group is kept in several lanes.
    monkeypatch.setattr("critlearn.fluctuations.counting.cpu.threads", lambda: threads)
    errors, inputs, scale, _ = (part.to(_device(kind)) for part in _random(3, 9, 5, 7, 0.2))
    sample = torch.arange(9, device=errors.device)

    def counter(groups: int) -> Counter:
        device = torch.device(_device(kind))
        return CpuCounter(groups, exact=True) if kind == "numba" else TensorCounter(groups, device)

    joined, fewer = counter(4), counter(2)
    for rows in (slice(0, 5), slice(5, 9)):
        for each in (joined, fewer):
            each.add_outer(errors[rows].abs().log(), errors[rows] < 0, inputs[rows], scale[rows], sample[rows])
        if joined.groups == 4:
            size = joined.size
            joined.halve_groups()
            assert joined.size == size // 2
    assert joined.sketch() == fewer.sketch()

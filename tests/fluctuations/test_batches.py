"""Measurements from loaders: the same counts as from the data set, whatever the size and order of batches."""

import itertools
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
)

from critlearn.analysis.batches import batch_size
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import Quantities, measure
from critlearn.fluctuations.batches import bytes_of_sample
from critlearn.network import NeuralSystem


@pytest.fixture
def system() -> NeuralSystem:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    return NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(torch.randn(11, 3), torch.randint(2, (11,))))


class Stream(IterableDataset):  # type: ignore[type-arg]
    """Samples without a length."""

    def __init__(self, data: Dataset[tuple[Tensor, ...]]) -> None:
        self.data = data

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return (self.data[at] for at in range(11))


@pytest.mark.parametrize("batch_size", [1, 4, 11])
def test_a_loader_gives_the_counts_of_its_data_set(system: NeuralSystem, batch_size: int) -> None:
    expected = measure(system, groups=4)
    found = measure(system, loader=DataLoader(system.dataset, batch_size=batch_size), groups=4)
    assert dict(found) == dict(expected)
    assert found.samples == 11
    streamed = measure(system, loader=DataLoader(Stream(system.dataset), batch_size=batch_size), groups=4)
    assert dict(streamed) == dict(expected)


def test_shuffled_loader_and_other_data(system: NeuralSystem) -> None:
    generator = torch.Generator().manual_seed(0)
    shuffled = measure(system, loader=DataLoader(system.dataset, batch_size=3, shuffle=True, generator=generator))
    assert (shuffled["all"].counts == measure(system)["all"].counts).all()
    other = TensorDataset(torch.randn(6, 3, dtype=torch.float64), torch.randint(2, (6,)))
    assert measure(system, loader=DataLoader(other, batch_size=4, drop_last=True)).samples == 4


def test_mini_batches_across_the_batches_of_a_loader(system: NeuralSystem) -> None:
    quantities = Quantities(mini_batch=4)
    expected = measure(system, quantities=quantities, groups=2)
    found = measure(system, loader=DataLoader(system.dataset, batch_size=3), quantities=quantities, groups=2)
    assert found.samples == 2
    assert dict(found) == dict(expected)


def test_bad_loaders_are_refused(system: NeuralSystem, tmp_path: Path) -> None:
    empty = DataLoader(TensorDataset(torch.zeros(0, 3), torch.zeros(0).long()))
    with pytest.raises(InvalidInputError, match="loader is empty"):
        measure(system, loader=empty)
    single = DataLoader(TensorDataset(torch.zeros(5, 3)))
    with pytest.raises(InvalidInputError, match="pairs"):
        measure(system, loader=single)
    integers = DataLoader(TensorDataset(torch.zeros(5, 3).long(), torch.zeros(5).long()))
    with pytest.raises(InvalidInputError, match="int64"):
        measure(system, loader=integers)
    with pytest.raises(InvalidInputError, match="shuffle"):
        measure(system, loader=DataLoader(system.dataset, shuffle=True), checkpoint=tmp_path / "state")
    drawn = DataLoader(system.dataset, batch_sampler=BatchSampler(RandomSampler(range(11)), 3, False))
    with pytest.raises(InvalidInputError, match="same order again"):
        measure(system, loader=drawn, checkpoint=tmp_path / "state")


@pytest.mark.parametrize("with_loader", [False, True])
def test_a_measurement_stopped_after_its_last_batch_gets_its_floor(
    system: NeuralSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_loader: bool
) -> None:
    monkeypatch.setattr("critlearn.fluctuations.checkpoint.state._EVERY", 0.0)
    path = tmp_path / "state.npz"

    def stop(done: int, _: int) -> None:
        if done == 11:
            raise KeyboardInterrupt

    # A sampler of batches hides how many samples there are.
    batches = BatchSampler(SequentialSampler(range(11)), 3, False)
    loader = DataLoader(system.dataset, batch_sampler=batches) if with_loader else None
    expected = measure(system, loader=loader, batch_size=3)
    with pytest.raises(KeyboardInterrupt):
        measure(system, loader=loader, batch_size=3, checkpoint=path, progress=stop)
    assert path.exists()
    resumed = measure(system, loader=loader, batch_size=3, checkpoint=path)
    assert dict(resumed) == dict(expected)
    assert (resumed.log_floor, resumed.floor_reference) == (expected.log_floor, expected.floor_reference)
    assert resumed.samples == 11
    assert not path.exists()


def test_memory_of_a_batch_is_told_beforehand(system: NeuralSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    # Three inputs, four activities and two outputs of four bytes each.
    assert bytes_of_sample(system) == 36
    monkeypatch.setattr("critlearn.fluctuations.batches.memory_of", lambda device: 360.0)
    measure(system, batch_size=10)
    with pytest.raises(InvalidInputError, match=r"a batch of 11 samples takes at least .* take batch_size=1 or less"):
        measure(system, batch_size=11)
    monkeypatch.setattr("critlearn.fluctuations.batches.memory_of", lambda device: 32.0 * 11 * 4)
    measure(system, batch_size=10, quantities=Quantities(series=4))
    with pytest.raises(InvalidInputError, match="series of 5 entries over 11 samples take"):
        measure(system, batch_size=10, quantities=Quantities(series=5))


def test_a_measurement_of_hours_is_told_after_two_batches(
    system: NeuralSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By a clock that goes on by so many seconds with each batch: nine of eleven are left.
    module = sys.modules["critlearn.fluctuations.measure"]
    monkeypatch.setattr(module, "perf_counter", partial(next, itertools.count(0, 410)))
    with pytest.warns(UserWarning, match=r"goes on for about 1\.0 hours.*variables"):
        measure(system, batch_size=1)
    monkeypatch.setattr(module, "perf_counter", partial(next, itertools.count(0, 390)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(system, batch_size=1)
        measure(system, loader=DataLoader(Stream(system.dataset), batch_size=1))


def test_an_analysis_passes_fewer_large_samples_at_once() -> None:
    model = nn.Sequential(nn.Conv2d(3, 1, 3), nn.Flatten(), nn.AdaptiveAvgPool1d(1))
    images = TensorDataset(torch.randn(4, 3, 256, 256), torch.randn(4, 1))
    held = batch_size(NeuralSystem(model, nn.MSELoss(), images)) * 3 * 256 * 256 * 4
    assert 2**27 < held < 2**28

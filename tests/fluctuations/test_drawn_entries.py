"""Some variables only, and some entries of each: against gradients of plain autograd, and by their law of chance."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.errors import InvalidInputError
from critlearn.fluctuations import Fluctuations, Quantities, load_fluctuations, measure, measure_part, save_fluctuations
from critlearn.network import NeuralSystem
from reference.plain_gradients import assert_same_counts, plain_gradients

SAMPLES = 24


def _model() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Embedding(7, 4), nn.Linear(4, 6), nn.Tanh(), nn.Conv1d(5, 4, 2, groups=1), nn.Flatten(), nn.Linear(20, 3)
    ).double()


def _data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return torch.randint(7, (SAMPLES, 5), generator=generator), torch.randint(3, (SAMPLES,), generator=generator)


@pytest.fixture
def system() -> NeuralSystem:
    return NeuralSystem(_model(), nn.CrossEntropyLoss(), TensorDataset(*_data()))


@pytest.fixture
def plain(system: NeuralSystem) -> dict[str, np.ndarray]:
    return plain_gradients(system.model, nn.CrossEntropyLoss(), *_data())


def _measured(system: NeuralSystem, **options: object) -> Fluctuations:
    quantities = Quantities(**options)  # type: ignore[arg-type]
    return measure(system, batch_size=7, groups=2, exact=True, quantities=quantities)


@pytest.mark.parametrize("options", [{}, {"mini_batch": 2}, {"without_drift": True}])
def test_drawn_entries_are_those_of_plain_gradients(
    system: NeuralSystem, plain: dict[str, np.ndarray], options: dict[str, object]
) -> None:
    quantities = Quantities(variables=9, seed=5, **options)  # type: ignore[arg-type]
    found = _measured(system, variables=9, seed=5, **options)
    sizes = {name: value.numel() for name, value in system.parameters.items()}
    drawn = quantities.drawn(sizes)
    assert set(drawn) == set(sizes)
    for name, values in plain.items():
        index = drawn[name]
        assert len(set(index.tolist())) == len(index) == min(9, sizes[name])
        expected = values[:, index]
        if quantities.mini_batch > 1:
            expected = expected.reshape(-1, 2, len(index)).mean(axis=1)
        if quantities.without_drift:
            moved = (expected != 0).any(axis=0)
            expected = np.where(moved, expected - expected.mean(axis=0), 0.0)
        assert_same_counts(found[name], expected, 2)
        assert found.variables[name] == len(index)
        assert found.drawn_from[name] == sizes[name]


def test_pools_take_the_same_share_of_every_variable(system: NeuralSystem, plain: dict[str, np.ndarray]) -> None:
    found = _measured(system, variables=15, seed=1, samples=(3,))
    drawn = Quantities(variables=15, seed=1).drawn({name: value.numel() for name, value in system.parameters.items()})
    # The widest, 5.weight of 60 entries, gives all its 15: a share of a quarter.
    given = {"0.weight": 7, "1.weight": 6, "1.bias": 2, "3.weight": 10, "3.bias": 1, "5.weight": 15, "5.bias": 1}
    columns = [plain[name][:, drawn[name][:number]] for name, number in given.items()]
    assert_same_counts(found["all"], np.concatenate(columns, axis=1), 2)
    assert found.variables["all"] == sum(given.values())
    assert found.drawn_from["all"] == sum(value.numel() for value in system.parameters.values())
    assert_same_counts(found["5"], np.concatenate(columns[5:], axis=1), 2)
    assert found["all[sample 3]"].count == sum(given.values())
    assert "all (42 variables drawn from 165)" in found.summary()
    assert found.to_dict()["all"]["drawn_from"] == 165


def test_every_entry_is_as_likely_to_be_drawn() -> None:
    times = np.zeros(50)
    for seed in range(2000):
        times[Quantities(variables=10, seed=seed).drawn({"a": 50})["a"]] += 1
    # Binomial with a share of one fifth: 4 standard errors, of fifty counts.
    assert np.abs(times - 400).max() < 4.5 * math.sqrt(2000 * 0.2 * 0.8)


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (("1.*",), {"1.weight", "1.bias"}),
        (("1", "5.bias"), {"1.weight", "1.bias", "5.bias"}),
        (("*.bias",), {"1.bias", "3.bias", "5.bias"}),
    ],
)
def test_only_some_variables(
    system: NeuralSystem, plain: dict[str, np.ndarray], only: tuple[str, ...], names: set[str]
) -> None:
    found = _measured(system, only=only)
    pools = {"1", "all"} if "1.weight" in names else {"all"}
    assert set(found) == names | pools
    for name in names:
        assert_same_counts(found[name], plain[name], 2)
    assert found.variables["all"] == sum(plain[name].shape[1] for name in names)
    assert found.drawn_from == {}


def test_what_was_drawn_is_stored_and_merged(system: NeuralSystem, tmp_path: Path) -> None:
    quantities = Quantities(variables=9, only=("1", "5"))
    whole = measure(system, batch_size=6, quantities=quantities)
    save_fluctuations(tmp_path / "drawn.npz", whole)
    again = load_fluctuations(tmp_path / "drawn.npz")
    assert again.drawn_from == whole.drawn_from
    assert dict(again) == dict(whole)
    parts = [measure_part(system, part, 2, batch_size=6, quantities=quantities) for part in range(2)]
    assert dict(parts[0].merge(parts[1])) == dict(whole)
    other = measure(system, batch_size=6, quantities=Quantities(only=("1", "5")))
    with pytest.raises(InvalidInputError, match="same quantities"):
        whole.merge(other)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"only": "0.*"}, r'only are given by a tuple of names, as \("blocks.3.\*",\); got \'0.\*\''),
        ({"variables": 0}, "at least one entry of each variable must be counted; got 0"),
        ({"variables": 1.5}, "variables must be an integer; got 1.5"),
        ({"variables": 5, "units": ("1.weight",)}, "leave out variables="),
        ({"variables": 5, "series": 3}, "leave out variables="),
    ],
)
@pytest.mark.usefixtures("without_shape_checker")
def test_what_is_no_choice_of_variables_is_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        Quantities(**options)  # type: ignore[arg-type]


def test_a_pattern_that_fits_no_variable_is_refused(system: NeuralSystem) -> None:
    with pytest.raises(InvalidInputError, match=r'unknown trainable variable "blocks.\*"'):
        _measured(system, only=("blocks.*",))

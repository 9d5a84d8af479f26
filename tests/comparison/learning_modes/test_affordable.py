"""Modes beside an analysis: made where they are cheap or asked for, else a reason; never an error."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import critlearn
from critlearn.comparison.learning_modes import Modes, affordable, modes_or_reason
from critlearn.errors import InvalidInputError
from shape_checker import switched_off


def system(samples: int) -> critlearn.NeuralSystem:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(samples, 3, generator=generator, dtype=torch.float64)
    target = torch.randn(samples, generator=generator, dtype=torch.float64)
    return critlearn.NeuralSystem(
        nn.Linear(3, 1).double(), critlearn.Composition("identity", "mse"), TensorDataset(x, target)
    )


def test_plain_values_give_the_modes_back() -> None:
    found = critlearn.modes(system(64))
    again = Modes.from_dict(found.to_dict())
    assert again.summary() == found.summary()
    assert again.to_dict() == found.to_dict()
    # One mode has no coupling, which plain values have as None.
    alone = critlearn.modes(system(64), 1)
    assert Modes.from_dict(alone.to_dict()).to_dict() == alone.to_dict()


def test_modes_are_made_up_to_a_bound_or_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    given = system(64)
    assert isinstance(modes_or_reason(given, None), Modes)
    assert modes_or_reason(given, wanted=False) == "they were not asked for"
    monkeypatch.setattr(affordable, "MOST_NUMBERS", 4 * 64 - 1)
    reason = modes_or_reason(given, None)
    assert isinstance(reason, str)
    assert reason.startswith("64 samples of 4 variables are more than are made unasked: 255 numbers, of 1,000 samples")
    assert isinstance(modes_or_reason(given, wanted=True), Modes)
    monkeypatch.setattr(affordable, "MOST_NUMBERS", 4 * 64)
    assert isinstance(modes_or_reason(given, None), Modes)


def test_some_of_many_samples_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    given = system(4000)
    monkeypatch.setattr(affordable, "MOST_SAMPLES", 2000)
    found, whole = modes_or_reason(given, None), modes_or_reason(given, wanted=True)
    assert isinstance(found, Modes)
    assert isinstance(whole, Modes)
    assert (sum(found.samples), sum(whole.samples)) == (2000, 4000)
    assert (found.drawn_from, whole.drawn_from) == (4000, None)
    # Estimates from 2,000 of the samples differ from those of all by no more than two of 2,000 would.
    apart = 4 * math.hypot(found.participation_ratio_error, whole.participation_ratio_error)
    assert found.participation_ratio == pytest.approx(whole.participation_ratio, abs=apart)
    assert modes_or_reason(given, None).to_dict() == found.to_dict()  # type: ignore[union-attr]


def test_what_goes_wrong_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "at least 16 samples" in str(modes_or_reason(system(8), wanted=True))

    def fail(_: critlearn.NeuralSystem) -> Modes:
        raise torch.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(affordable, "modes", fail)
    assert "did not converge" in str(modes_or_reason(system(64), wanted=True))


def test_modes_of_what_is_no_system_are_refused() -> None:
    with (
        switched_off(),
        pytest.raises(InvalidInputError, match=r"those of a NeuralSystem; got Linear: give NeuralSystem\("),
    ):
        critlearn.modes(nn.Linear(2, 1))  # type: ignore[arg-type]

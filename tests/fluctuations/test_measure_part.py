"""Parts of a data set, measured apart and merged, are the whole, bin for bin."""

from functools import reduce
from typing import Any

import numpy as np
import pytest
from torch import nn

from critlearn.compositions import Composition
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import Fluctuations, Quantities, measure, measure_part
from critlearn.network import NeuralSystem
from reference.networks import classes, seeded

SAMPLES = 103
FURTHER = Quantities(units=("0.weight",), samples=(40,), series=7, mini_batch=2, without_drift=True)


def _system(width: int) -> NeuralSystem:
    model, data = (
        seeded(lambda: nn.Sequential(nn.Linear(6, width), nn.Tanh(), nn.Linear(width, 1))),
        classes((SAMPLES, 6)),
    )
    return NeuralSystem(model, Composition("tanh", "mse"), data)


def _same(one: Fluctuations, two: Fluctuations) -> None:
    assert set(one) == set(two)
    assert one.samples == two.samples
    assert one.log_floor == two.log_floor
    for name in one:
        assert one[name] == two[name]
    for name, sizes in one.series.log_size.items():
        assert np.array_equal(sizes, two.series.log_size[name])


@pytest.mark.parametrize("parts", [1, 3, 13])
@pytest.mark.parametrize(
    ("width", "settings"),
    [
        (5, {"lr": 0.5, "groups": 4}),
        # Wide enough that histograms are convolved.
        (3000, {"groups": 8}),
        (5, {"quantities": FURTHER}),
    ],
)
def test_merged_parts_are_the_whole(width: int, parts: int, settings: dict[str, Any]) -> None:
    system = _system(width)
    whole = measure(system, batch_size=8, **settings)
    merged = reduce(
        Fluctuations.merge, (measure_part(system, at, parts, batch_size=8, **settings) for at in range(parts))
    )
    _same(merged, whole)


@pytest.mark.parametrize(
    ("part", "parts", "message"),
    [
        (0, 14, "13 batches of 8 make 1..13 parts; got 14"),
        (0, 0, "1..13 parts; got 0"),
        (3, 3, "parts are numbered 0..2; got 3"),
        (-1, 3, "parts are numbered 0..2; got -1"),
    ],
)
def test_parts_that_there_are_not_are_refused(part: int, parts: int, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        measure_part(_system(5), part, parts, batch_size=8)

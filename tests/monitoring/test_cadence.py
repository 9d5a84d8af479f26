"""The default cadence keeps to its share of the time, whatever steps and measurements take."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from critlearn.monitoring.cadence import Clock, EveryStep, WithinShare

seconds = st.floats(1e-5, 10.0)


@given(start=seconds, cost=seconds, step_time=seconds, steps=st.integers(1, 2000), share=st.floats(0.01, 0.5))
def test_measuring_is_paid_for_before_it_is_done(
    start: float, cost: float, step_time: float, steps: int, share: float
) -> None:
    cadence, clock = WithinShare(share), Clock(spent=start, last_cost=cost)
    measured = []
    for step in range(1, steps + 1):
        clock.training += step_time
        if cadence.due(step, clock):
            measured.append(step)
            clock.spent += cost
            clock.last_cost = cost
            # Each one leaves enough for the last.
            assert clock.spent + cost <= share * clock.training * (1 + 1e-12)
            assert cadence.pays_for_last(clock)
    assert all(later >= 1.41 * earlier for earlier, later in pairwise(measured) if earlier > 2)


def test_cheap_measurements_are_in_geometric_progression() -> None:
    cadence, clock = WithinShare(0.05), Clock()
    measured = []
    for step in range(1, 200):
        clock.training += 1.0
        if cadence.due(step, clock):
            measured.append(step)
    assert measured == [1, 2, 3, 5, 8, 12, 17, 25, 36, 51, 73, 104, 148]
    assert not cadence.due(0, clock)
    assert "13 times and at the end" in cadence.description
    assert "0 of them were later" in cadence.description


@pytest.mark.parametrize("every", [1, 3])
def test_a_given_number_of_steps_is_kept_whatever_it_costs(every: int) -> None:
    cadence = EveryStep(every)
    assert [step for step in range(1, 13) if cadence.due(step, Clock(spent=1e9))] == list(range(every, 13, every))

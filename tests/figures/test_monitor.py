"""The figure of a followed training shows every exponent, and which of them is a power law's."""

import numpy as np

from critlearn.monitoring import Distribution, MonitoredState, MonitorRecord
from critlearn.monitoring.updates import UpdateSeries
from critlearn.numerics.log_sketch import LogSketch
from reference.power_law_samples import power_law


def state(step: int, values: np.ndarray, problem: str | None = None) -> MonitoredState:
    group = np.arange(values.size) % 20
    part = Distribution(LogSketch.from_values(values, group, 20), "samples", None)
    return MonitoredState(
        step, float(step), 0.1, (0.1,), {} if problem else {"2.bias": part}, None if problem else 0.5, 0, problem
    )


def test_power_laws_are_full_other_exponents_hollow_and_the_rest_is_left_out() -> None:
    generator = np.random.default_rng(0)
    states = (
        state(0, power_law(1.5, 1e-4, 1.0, 4_000, 0)),
        state(10, np.ones(30)),
        state(30, generator.random(10), "the loss is not finite"),
        state(100, power_law(1.2, 1e-4, 1.0, 4_000, 1)),
    )
    record = MonitorRecord(states, UpdateSeries(), 4000, 8000, "now and then", 100, 10.0, 0.5)
    upper, lower = record.plot().axes
    (bars,) = upper.containers
    drawn = bars.lines[0].get_xydata()  # type: ignore[attr-defined]
    fits = [states[index].distributions["2.bias"].fit for index in (0, 3)]
    assert all(fit is not None and fit.verdict == "power law" for fit in fits)
    np.testing.assert_allclose(drawn, [[0, fits[0].exponent], [100, fits[1].exponent]])  # type: ignore[union-attr]
    np.testing.assert_allclose(drawn[:, 1], [1.5, 1.2], atol=0.1)
    assert bars.get_label() == "2.bias (over samples)"
    measured, without_drift = lower.lines
    assert measured.get_xdata().tolist() == [0, 10, 100]  # type: ignore[union-attr]
    assert without_drift.get_ydata()[0] == record.fraction_without_drift  # type: ignore[index]


def test_an_empty_record_has_an_empty_figure() -> None:
    record = MonitorRecord((), UpdateSeries(), 10, 10, "never", 0, 0.0, 0.0)
    upper, _ = record.plot().axes
    assert not upper.containers

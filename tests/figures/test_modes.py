"""Figures of modes: what they draw is what the tables say, in the order of time."""

import numpy as np
import pandas as pd
import pytest

from critlearn.comparison.learning_modes import Mode, Modes, modes_through_training
from critlearn.errors import InvalidInputError
from critlearn.figures.illustration import drawn_data
from critlearn.figures.modes import modes_figure, modes_through_training_figure


def state(share: float) -> Modes:
    errors = dict.fromkeys(
        ["share_error", "variance_ratio_error", "r_squared_error", "bare_error", "independent_error", "joint_error"],
        0.01,
    )
    mode = Mode(
        share=share,
        variance_ratio=0.9,
        r_squared=0.9,
        zeros=0.0,
        bare=0.06,
        independent=0.03,
        joint=np.nan,
        noise=0.02,
        noise_error=0.01,
        **errors,
    )
    return Modes((mode, mode), 2.0 + share, 0.1, 0.2, 0.01, 0.05, np.eye(2), (10, 10), 3, exact=True)


def test_shares_and_distances_are_drawn_under_their_names() -> None:
    data = drawn_data(modes_figure(state(0.4).to_dataframe()))
    named = data.groupby("series")
    assert named.get_group("share")["share of the variance"].tolist() == [0.4, 0.4]
    for series, value in (("noise: one half from the other", 0.02), ("one path factor for all", 0.06)):
        group = named.get_group(series)
        assert group["distance (Kolmogorov–Smirnov)"].tolist() == [value, value]
        np.testing.assert_allclose(group["mode"], [1, 2], atol=0.2)


def test_states_of_a_training_stand_in_the_order_of_time() -> None:
    table = modes_through_training({500: state(0.3), 0: state(0.1), 10: state(0.2)})
    figure = modes_through_training_figure(table)
    data = drawn_data(figure)
    drawn = data[data["series"] == "participation ratio"]["participation ratio"]
    np.testing.assert_allclose(drawn, [2.1, 2.2, 2.3])
    assert data[data["series"] == "measured"]["epoch"].tolist() == [0, 10, 500]
    # Zero has a place beside decades.
    assert figure.axes[-1].get_xscale() == "symlog"


def test_states_may_have_names_that_are_no_numbers() -> None:
    figure = modes_through_training_figure(modes_through_training({"start": state(0.3), "end": state(0.1)}), "state")
    assert [label.get_text() for label in figure.axes[-1].get_xticklabels()] == ["start", "end"]
    with pytest.raises(InvalidInputError, match="no state of a training"):
        modes_through_training_figure(pd.DataFrame())

"""Phase diagrams show what many runs come down to, and fit on a page."""

import pandas as pd
import pytest

from critlearn.figures.illustration import drawn_data
from critlearn.figures.study import phase_diagram, phase_panel


def test_a_phase_diagram_holds_means_of_the_seeds_that_have_a_power_law() -> None:
    drawn = [
        ("tanh", "mse", 1.0, "power law", True),
        ("tanh", "mse", 1.2, "power law", True),
        ("tanh", "mse", 7.0, "rejected", True),
        ("tanh", "bce", None, "too few data", True),
        ("erf", "mse", 2.0, "power law", True),
        ("erf", "mse", 2.0, "power law", False),
        ("erf", "bce", 3.0, "drifting exponent", None),
    ]
    names = ["activation", "loss", "measured_exponent", "verdict", "certified"]
    table = pd.DataFrame(drawn, columns=names).assign(quantity="bias")
    panel = phase_panel(table, "bias", "loss", "activation")
    assert panel.values.loc["tanh", "mse"] == pytest.approx(1.1)
    assert panel.values.loc["erf", "mse"] == 2.0
    assert panel.values["bce"].isna().all()
    assert panel.certified.to_dict("index") == {
        "tanh": {"mse": True, "bce": True},
        "erf": {"mse": False, "bce": False},
    }
    figure = phase_diagram(table, "bias", "loss", "activation")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert (texts.count("×"), texts.count("○")) == (2, 2)
    assert {"1.10", "2.00"} <= set(texts)
    told = drawn_data(figure)["series"].tolist()
    assert any(name.endswith("erf, loss = mse, 2, not all at equilibrium") for name in told)


@pytest.mark.parametrize(("values", "columns"), [(2, 3), (5, 2), (40, 1)])
def test_panels_side_by_side_are_not_wider_than_a_page(values: int, columns: int) -> None:
    rows = [
        {"quantity": "bias", "lr": lr, "epochs": epochs, "hidden": hidden, "verdict": "power law", "certified": True}
        for lr in range(values)
        for epochs in (1, 2)
        for hidden in ("4", "8", "16")
    ]
    table = pd.DataFrame(rows).assign(measured_exponent=1.0)
    figure = phase_diagram(table, "bias", "lr", "epochs", panels_by=["hidden"])
    places = {round(axes.get_subplotspec().colspan.start) for axes in figure.axes[:3]}  # type: ignore[union-attr]
    assert len(places) == columns
    assert columns == 1 or figure.get_figwidth() <= 13

"""The numbers that belong to a figure are those that it draws."""

import numpy as np
from matplotlib.figure import Figure

from critlearn.figures.illustration import drawn_data, image


def test_drawn_numbers_are_those_of_the_figure() -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2], [3, np.nan], label="line")
    axes.axvspan(0.5, 1.5, label="span")
    axes.hlines(2.0, 0.0, 1.0, label="level")
    axes.bar([1, 3], [2, 4], label="bars")
    axes.errorbar([5, 6], [7, 8], yerr=[1, 1], capsize=2, label="with errors")
    axes.set(xlabel="size", ylabel="k")
    data = drawn_data(figure)
    assert list(data) == ["series", "size", "k"]
    assert data[data["series"] == "line"][["size", "k"]].to_numpy().tolist() == [[1, 3]]
    assert data[data["series"] == "span"]["size"].tolist() == [0.5, 1.5]
    assert data[data["series"] == "level"][["size", "k"]].to_numpy().tolist() == [[0, 2], [1, 2]]
    assert data[data["series"] == "bars"][["size", "k"]].to_numpy().tolist() == [[1, 2], [3, 4]]
    assert data[data["series"] == "with errors"][["size", "k"]].to_numpy().tolist() == [[5, 7], [6, 8]]
    assert set(data["series"]) == {"line", "span", "level", "bars", "with errors"}
    assert image(figure, "svg") == image(figure, "svg")

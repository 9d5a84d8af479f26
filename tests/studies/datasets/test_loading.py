"""Data sets by name, and from anywhere else that is not a file."""

import sys
import urllib.error
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
import torch

from critlearn.errors import DataError, InvalidInputError
from critlearn.studies import load_data


def test_breast_cancer_is_that_of_scikit_learn_standardised() -> None:
    data = load_data("breast-cancer")
    bunch = sklearn.datasets.load_breast_cancer()
    assert tuple(data.x.shape) == (569, 30)
    assert data.class_names == ("benign", "malignant")
    # 212 malignant, 357 benign (Wolberg, Street and Mangasarian, 1995).
    assert int((data.signs == 1).sum()) == 212
    np.testing.assert_array_equal(data.signs.numpy() == 1, bunch.target == 0)
    np.testing.assert_allclose(data.x.mean(dim=0), 0, atol=1e-12)
    np.testing.assert_allclose(data.x.std(dim=0, correction=0), 1, rtol=1e-12)
    correlation = [np.corrcoef(data.x[:, i], bunch.data[:, i])[0, 1] for i in range(30)]
    np.testing.assert_allclose(correlation, 1, rtol=1e-12)


@pytest.mark.parametrize(("first", "second"), [(3, 8), (8, 3), (0, 1)])
def test_digits_are_pixels_from_0_to_1_with_zeros_kept(first: int, second: int) -> None:
    data = load_data(f"digits:{first}v{second}")
    bunch = sklearn.datasets.load_digits()
    for sign, digit in ((-1, first), (1, second)):
        np.testing.assert_array_equal(16 * data.x[data.signs == sign].numpy(), bunch.data[bunch.target == digit])
    assert data.class_names == (str(first), str(second))
    assert bool((data.x[:, 0] == 0).all())


@pytest.mark.parametrize(("name", "digits"), [("digits", range(10)), ("digits:7v1v4", (7, 1, 4))])
def test_more_than_two_digits_are_classes_in_the_order_named(name: str, digits: Sequence[int]) -> None:
    data = load_data(name)
    bunch = sklearn.datasets.load_digits()
    assert data.class_names == tuple(str(digit) for digit in digits)
    assert len(data) == int(np.isin(bunch.target, digits).sum())
    for number, digit in enumerate(digits):
        np.testing.assert_array_equal(16 * data.x[data.labels == number].numpy(), bunch.data[bunch.target == digit])


@pytest.mark.parametrize(
    "name", ["digits:3", "digits:3v", "digits:3v3", "digits:10v3", "digits:avb", "digits:", "digits:-1v3", "digits:²v3"]
)
def test_names_that_are_no_digits_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"needs (two different digits|digits from 0 to 9)"):
        load_data(name)


@pytest.mark.parametrize("name", ["moons", "gaussians"])
def test_synthetic_data_repeat_by_seed(name: str) -> None:
    first, again, other = (load_data(name, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.x, other.x)
    assert abs(float(first.signs.mean())) < 0.01


def test_gaussians_are_two_normal_clouds() -> None:
    data = load_data("gaussians", seed=3)
    # Standardising divides by sqrt(1 + 1): class means +-1/sqrt(2), with a standard error of 1/sqrt(2 * 1000).
    for sign in (-1, 1):
        means = data.x[data.signs == sign].mean(dim=0).numpy()
        np.testing.assert_allclose(means, sign / np.sqrt(2), atol=5 / np.sqrt(2 * 1000))


@pytest.mark.parametrize(
    ("name", "near"),
    [("breast-cancr", "breast-cancer"), ("moon", "moons"), ("gausians", "gaussians"), ("digit:3v8", "digits:3v8")],
)
def test_unknown_names_are_refused_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(InvalidInputError, match=f'unknown data set "{name}"; did you mean "{near}"'):
        load_data(name)


# Columns


def test_columns_of_named_tables_are_chosen() -> None:
    bunch = sklearn.datasets.load_breast_cancer()
    chosen = load_data("breast-cancer", columns=("mean area", "mean radius"))
    everything = load_data("breast-cancer")
    at = [list(bunch.feature_names).index(name) for name in ("mean area", "mean radius")]
    assert torch.equal(chosen.x, everything.x[:, at])
    assert load_data("flights", drop=("month", "day")).x.shape[1] == 6
    with pytest.raises(DataError, match=r'"flights" has no column "dep_dely"; did you mean "dep_delay"\?'):
        load_data("flights", columns=("dep_dely",))


@pytest.mark.parametrize("settings", [{"columns": ("x0",)}, {"drop": ("x0",)}])
def test_data_without_named_columns_have_none_to_choose(settings: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(InvalidInputError, match=r'"digits:3v8" has no named columns; --columns and --drop'):
        load_data("digits:3v8", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["flights", "flights:3", "moons", "digits", "digits:3v8"])
def test_the_class_of_a_named_data_set_is_fixed(name: str) -> None:
    with pytest.raises(InvalidInputError, match=f'the class of "{name}" is fixed; --target names a column of a file'):
        load_data(name, target="x0")


# OpenML


def fake_openml(monkeypatch: pytest.MonkeyPatch, answer: object) -> list[str]:
    asked: list[str] = []

    def fetch(name: str, **options: object) -> object:
        asked.append(name)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    return asked


FRAME = pd.DataFrame(
    {"age": [20, 30, 40, 50], "class": pd.Categorical(["b", "a", "b", "a"]), "mass": [1.0, 2.0, 4.0, 3.0]}
)


def test_openml_uses_its_own_target(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_openml(monkeypatch, SimpleNamespace(frame=FRAME, target_names=["class"]))
    data = load_data("openml:diabetes")
    assert asked == ["diabetes"]
    assert data.signs.tolist() == [1, -1, 1, -1]
    assert data.class_names == ("a", "b")
    assert tuple(data.x.shape) == (4, 2)


def test_openml_offline_ends_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_openml(monkeypatch, urllib.error.URLError("no route to host"))
    with pytest.raises(DataError, match=r'"openml:diabetes" cannot be fetched: OpenML is not reached .*no route'):
        load_data("openml:diabetes")
    fake_openml(monkeypatch, TimeoutError("timed out"))
    with pytest.raises(DataError, match="not reached"):
        load_data("openml:diabetes")


def test_openml_faults_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_openml(monkeypatch, ValueError("No active dataset diabtes found.\nmore"))
    with pytest.raises(DataError, match=r'"openml:diabtes": No active dataset diabtes found\.$'):
        load_data("openml:diabtes")
    fake_openml(monkeypatch, SimpleNamespace(frame=FRAME, target_names=[]))
    with pytest.raises(DataError, match="--target"):
        load_data("openml:diabetes")
    with pytest.raises(InvalidInputError, match="name of a data set"):
        load_data("openml:")


# A user's own

MODULE = """
import numpy as np

class Pairs:
    def __init__(self): self.rows = [((float(i), i * 0.5), "ab"[i % 2]) for i in range(6)]
    def __len__(self): return len(self.rows)
    def __getitem__(self, i): return self.rows[i]

class Numbers(Pairs):
    def __init__(self): self.rows = [(np.arange(4.0).reshape(2, 2) + i, i % 2) for i in range(6)]

class Needy:
    def __init__(self, wanted): pass
    def __getitem__(self, i): return None

class Ragged(Pairs):
    def __init__(self): self.rows = [([1.0] * (i + 1), i % 2) for i in range(6)]

def made(): return Numbers()
instance = Numbers()
number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "users_own_data.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "users_own_data"
    sys.modules.pop("users_own_data", None)


@pytest.mark.parametrize("name", ["Numbers", "made", "instance"])
def test_data_of_the_users_own_are_taken_as_they_are(module: str, name: str) -> None:
    data = load_data(f"{module}:{name}")
    assert tuple(data.x.shape) == (6, 4)
    assert data.x[2].tolist() == [2, 3, 4, 5]
    assert data.signs.tolist() == [-1, 1] * 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Needy", "cannot be made: "),
        ("number", "is a int, not a map-style data set"),
        ("Ragged", "does not give pairs of numbers"),
        ("Number", 'has no "Number"; did you mean "Numbers"'),
    ],
)
def test_objects_that_are_no_data_are_refused(module: str, name: str, message: str) -> None:
    with pytest.raises((DataError, InvalidInputError), match=message):
        load_data(f"{module}:{name}")


def test_a_module_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInputError, match='cannot import "no_such_module_here"'):
        load_data("no_such_module_here:data")


def test_classes_may_be_text(module: str) -> None:
    data = load_data(f"{module}:Pairs")
    assert data.class_names == ("a", "b")

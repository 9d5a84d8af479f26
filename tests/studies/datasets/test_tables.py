"""Files of data: what is good comes in, what is bad is refused with row, column and allowed names."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from critlearn.errors import DataError
from critlearn.studies import load_data

GOOD = pd.DataFrame(
    {
        "length": [1.0, 2.0, 4.0, 5.0, 3.0],
        "width": [0.1, -0.2, 0.3, 0.5, 0.0],
        "kind": ["no", "yes", "no", "yes", "yes"],
    }
)
SUFFIXES = (".csv", ".parquet")


def write(frame: pd.DataFrame, path: Path) -> str:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return str(path)


def check(data: object, columns: tuple[str, str] = ("length", "width")) -> None:
    expected = GOOD[list(columns)].to_numpy()
    expected = (expected - expected.mean(axis=0)) / expected.std(axis=0)
    np.testing.assert_allclose(data.x.numpy(), expected, rtol=1e-12, atol=1e-15)  # type: ignore[attr-defined]
    assert data.signs.tolist() == [-1, 1, -1, 1, 1]  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_last_column_is_the_class(tmp_path: Path, suffix: str) -> None:
    data = load_data(write(GOOD, tmp_path / f"good{suffix}"))
    check(data)
    assert data.class_names == ("no", "yes")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_column_may_be_named(tmp_path: Path, suffix: str) -> None:
    moved = GOOD[["kind", "width", "length"]]
    check(load_data(write(moved, tmp_path / f"moved{suffix}"), target="kind"), ("width", "length"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_column_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(DataError, match='has no column "kinds"; did you mean "kind"'):
        load_data(write(GOOD, tmp_path / f"good{suffix}"), target="kinds")


@pytest.mark.parametrize(("names", "target"), [(("x", "t"), None), (("x", "y"), None), (("x", "label"), "label")])
def test_arrays(tmp_path: Path, names: tuple[str, str], target: str | None) -> None:
    features, labels = GOOD[["length", "width"]].to_numpy(), GOOD["kind"].to_numpy().astype(str)
    np.savez(tmp_path / "good.npz", **{names[0]: features, names[1]: labels})
    check(load_data(str(tmp_path / "good.npz"), target=target))


def test_arrays_with_one_feature_may_be_flat(tmp_path: Path) -> None:
    np.savez(tmp_path / "flat.npz", x=np.arange(4), t=np.array([0, 1, 0, 1]))
    data = load_data(str(tmp_path / "flat.npz"))
    assert tuple(data.x.shape) == (4, 1)


@pytest.mark.parametrize(
    "labels", [[0, 1, 0, 1, 1], [-1, 1, -1, 1, 1], [2.0, 10.0, 2.0, 10.0, 10.0], [False, True, False, True, True]]
)
def test_labels_of_any_kind_are_ordered(tmp_path: Path, labels: list[float]) -> None:
    check(load_data(write(GOOD.assign(kind=labels), tmp_path / "labels.csv")))


def test_numbers_are_ordered_as_numbers_and_not_as_text(tmp_path: Path) -> None:
    data = load_data(write(GOOD.assign(kind=[9, 10, 9, 10, 10]), tmp_path / "labels.parquet"))
    assert data.class_names == ("9", "10")


def test_a_constant_feature_is_zero_and_named(tmp_path: Path) -> None:
    frame = GOOD.copy()
    frame.insert(1, "depth", 0.1)
    data = load_data(write(frame, tmp_path / "constant.csv"))
    assert bool((data.x[:, 1] == 0).all())
    assert "constant: depth" in data.source


# Columns that are chosen

NUMBERED = GOOD.assign(number=["r1", "r2", "r3", "r4", "r5"])[["number", "length", "width", "kind"]]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "settings",
    [
        {"drop": ("number",)},
        {"columns": ("length", "width")},
        {"columns": ("number", "length", "width"), "drop": ("number",)},
    ],
)
def test_a_column_that_numbers_the_rows_can_be_left_out(tmp_path: Path, suffix: str, settings: Any) -> None:
    path = write(NUMBERED, tmp_path / f"numbered{suffix}")
    with pytest.raises(DataError, match=r'column "number" holds \'r1\' in row 1 .*; --drop number leaves it out'):
        load_data(path)
    check(load_data(path, **settings))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_columns_come_in_the_order_named(tmp_path: Path, suffix: str) -> None:
    path = write(NUMBERED, tmp_path / f"numbered{suffix}")
    check(load_data(path, columns=("width", "length")), ("width", "length"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_where_the_last_column_is_left_out_the_class_is_the_one_before(tmp_path: Path, suffix: str) -> None:
    last = NUMBERED[["length", "width", "kind", "number"]]
    check(load_data(write(last, tmp_path / f"last{suffix}"), drop=("number",)))


def test_features_of_arrays_are_chosen_by_number(tmp_path: Path) -> None:
    features = np.column_stack([np.full(5, np.nan), GOOD[["length", "width"]]])
    np.savez(tmp_path / "some.npz", x=features, t=GOOD["kind"].to_numpy().astype(str))
    check(load_data(str(tmp_path / "some.npz"), drop=("x0",)))
    check(load_data(str(tmp_path / "some.npz"), columns=("x2", "x1")), ("width", "length"))
    with pytest.raises(DataError, match="feature x0 is nan in row 1"):
        load_data(str(tmp_path / "some.npz"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": ("lenght",)}, 'has no column "lenght"; did you mean "length"'),
        ({"drop": ("nubmer",)}, 'has no column "nubmer"; did you mean "number"'),
        ({"columns": ("length", "kind")}, 'column "kind" is the class and no feature'),
        ({"target": "kind", "drop": ("kind",)}, 'column "kind" is the class and no feature'),
        ({"drop": ("number", "length", "width")}, "has no feature left"),
        ({"drop": ("number", "length", "width", "kind")}, 'column "kind" is the class'),
        ({"columns": ("length",), "drop": ("length",)}, "has no feature left"),
    ],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_choices_that_leave_nothing_are_refused(tmp_path: Path, suffix: str, settings: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(write(NUMBERED, tmp_path / f"numbered{suffix}"), **settings)


def test_more_than_two_classes_are_numbered_in_order(tmp_path: Path) -> None:
    kinds = [10, 9, 10, 100, 9, 100]
    frame = pd.DataFrame({"length": np.arange(6.0), "kind": kinds})
    data = load_data(write(frame, tmp_path / "three.csv"))
    assert data.class_names == ("9", "10", "100")
    assert data.labels.tolist() == [1, 0, 1, 2, 0, 2]


# Bad files


@pytest.mark.parametrize("name", ["none.csv", "none.npz", "none.parquet", "some/folder/none.csv"])
def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f'no such file: "{name}"'):
        load_data(name)


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("1,2\n")
    with pytest.raises(DataError, match=r"\.csv, \.npz, \.parquet"):
        load_data(str(tmp_path / "data.txt"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="is not a file"):
        load_data(str(tmp_path / "folder.csv"))


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".parquet"])
def test_an_empty_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"empty{suffix}"
    path.touch()
    with pytest.raises(DataError, match=f"empty{suffix}"):
        load_data(str(path))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_without_rows_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(DataError, match="has no rows"):
        load_data(write(GOOD.iloc[:0], tmp_path / f"header{suffix}"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_without_features_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(DataError, match="has 1 column; a feature and a class are needed"):
        load_data(write(GOOD[["kind"]], tmp_path / f"one{suffix}"))


LABELS = {
    "has 1 class": ["a"] * 5,
    r'fewer than 2 samples of class "c" \(of 3; --target names the column': ["a", "b", "c", "a", "b"],
    r'fewer than 2 samples of class "1\.5" \(of 5; --target names the column': [1.5, 2.5, 3.5, 4.5, 5.5],
    "class of row 2 of the data is missing": ["a", None, "b", "a", "b"],
    'fewer than 2 samples of class "b"': ["a", "a", "b", "a", "a"],
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("message", LABELS)
def test_columns_that_are_no_classes_are_refused(tmp_path: Path, suffix: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(write(GOOD.assign(kind=LABELS[message]), tmp_path / f"classes{suffix}"))


def test_a_missing_label_of_a_nullable_column_is_refused(tmp_path: Path) -> None:
    for kind in (pd.array([0, 1, None, 1, 0], dtype="Int64"), pd.array(["a", "b", None, "b", "a"], dtype="string")):
        with pytest.raises(DataError, match="class of row 3 of the data is missing"):
            load_data(write(GOOD.assign(kind=kind), tmp_path / "nullable.parquet"))


BAD_FEATURES = {
    "text": ["1.0", "2.0", "three", "4.0", "5.0"],
    "nan": [1.0, 2.0, np.nan, 4.0, 5.0],
    "infinity": [1.0, 2.0, np.inf, 4.0, 5.0],
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", BAD_FEATURES)
def test_features_that_are_no_numbers_are_named_by_column_and_row(tmp_path: Path, suffix: str, kind: str) -> None:
    frame = GOOD.assign(width=BAD_FEATURES[kind])
    with pytest.raises(DataError, match=r'column "width" holds .* in row 3 of the data \(1 of 5') as caught:
        load_data(write(frame, tmp_path / f"bad{suffix}"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"t": np.ones(3)}, 'no array "x"; arrays: t'),
        ({"x": np.ones((3, 2))}, 'no array "t"; arrays: x'),
        ({"x": np.ones((3, 2)), "t": np.ones(2)}, "one label per sample"),
        ({"x": np.ones((3, 2, 2)), "t": np.ones(3)}, "shape"),
        ({"x": np.ones((0, 2)), "t": np.ones(0)}, "has no rows"),
        ({"x": np.array([["a"], ["b"]]), "t": np.ones(2)}, "not numbers"),
        ({"x": np.array([[1.0, 2.0], [3.0, np.nan]]), "t": np.ones(2)}, "feature x1 is nan in row 2"),
        ({"x": np.ones((3, 0)), "t": np.array([0, 1, 1])}, "feature"),
    ],
)
def test_arrays_that_are_no_data_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load_data(str(tmp_path / "bad.npz"))


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", x=np.array([[1], [{}]], dtype=object), t=np.array([0, 1]))
    with pytest.raises(DataError, match="without unpickling"):
        load_data(str(tmp_path / "objects.npz"))
    np.save(tmp_path / "single.npy", np.ones(3))
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    with pytest.raises(DataError, match="single array"):
        load_data(str(tmp_path / "single.npz"))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x81", b'a,b\n1,2\n1,2,3,4\n"', b"PAR1nonsense"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_another_kind_are_refused_in_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"other{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_data(str(path))
    assert "\n" not in str(caught.value)

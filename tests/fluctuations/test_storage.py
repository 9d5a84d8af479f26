"""Sketches come back from disk as they were; what is no file of sketches is refused in words."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from critlearn.compositions import Composition
from critlearn.errors import DataError, OutputError
from critlearn.fluctuations import Fluctuations, load_fluctuations, measure, save_fluctuations
from critlearn.network import NeuralSystem, feed_forward
from critlearn.numerics.log_sketch import LogSketch
from reference.networks import classes


@pytest.fixture
def fluctuations() -> Fluctuations:
    system = NeuralSystem(feed_forward(3, [4], "tanh", seed=0), Composition("tanh", "mse"), classes((20, 3)))
    return measure(system, groups=5)


@pytest.mark.parametrize("log_floor", [None, -45.5])
def test_round_trip(tmp_path: Path, fluctuations: Fluctuations, log_floor: float | None) -> None:
    given = Fluctuations(fluctuations.sketches, fluctuations.variables, fluctuations.samples, log_floor)
    save_fluctuations(tmp_path / "f.npz", given)
    back = load_fluctuations(tmp_path / "f.npz")
    assert list(back) == list(given)
    assert all(back[name] == given[name] for name in given)
    assert back.variables == given.variables
    assert back.samples == given.samples
    assert back.log_floor == log_floor
    assert [path.name for path in tmp_path.iterdir()] == ["f.npz"]


def test_sizes_beyond_floats_and_zeros_survive(tmp_path: Path) -> None:
    sketch = LogSketch.from_logs(np.array([-5000.0, -np.inf, 3.0]), np.array([True, False, False]))
    save_fluctuations(tmp_path / "f.npz", Fluctuations({"q": sketch}, {"q": 1}, 3))
    assert load_fluctuations(tmp_path / "f.npz")["q"] == sketch


def test_what_is_written_is_not_compressed_beyond_what_is_read(
    tmp_path: Path, fluctuations: Fluctuations, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A limit below the size of these sketches stands for series of hundreds of MiB.
    for module in ("fluctuations.storage", "reading.arrays"):
        monkeypatch.setattr(f"critlearn.{module}.LARGEST_EXPANDED", 100)
    save_fluctuations(tmp_path / "f.npz", fluctuations)
    assert load_fluctuations(tmp_path / "f.npz").samples == 20


def test_a_file_is_replaced_whole(tmp_path: Path, fluctuations: Fluctuations) -> None:
    path = tmp_path / "f.npz"
    path.write_bytes(b"something older")
    save_fluctuations(path, fluctuations)
    assert load_fluctuations(path).samples == 20


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_fluctuations(tmp_path / "none.npz")


def test_a_folder_that_is_not_there_cannot_be_written_to(tmp_path: Path, fluctuations: Fluctuations) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        save_fluctuations(tmp_path / "none" / "f.npz", fluctuations)


def stored(fluctuations: Fluctuations, path: Path, **changes: np.ndarray | None) -> Path:
    """A file with some of its arrays replaced, or left out."""
    save_fluctuations(path, fluctuations)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for name, value in changes.items():
        if value is None:
            del arrays[name]
        else:
            arrays[name] = value
    np.savez(path, **arrays)
    return path


CHANGES = {
    "a missing array": {"output.bias/positive": None},
    "no number of samples": {"samples": None},
    "another number of samples": {"samples": np.array(21)},
    "negative counts": {"output.bias/zeros": -np.ones(5, dtype=np.int64)},
    "counts of another shape": {"output.bias/negative": np.zeros((5, 1), dtype=np.int64)},
    "counts of another rank": {"output.bias/zeros": np.zeros((5, 1), dtype=np.int64)},
    "counts that are no integers": {"output.bias/zeros": np.zeros(5)},
    "text": {"samples": np.array("many")},
}


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize("change", CHANGES)
def test_arrays_that_cannot_be_sketches_are_refused(tmp_path: Path, fluctuations: Fluctuations, change: str) -> None:
    path = stored(fluctuations, tmp_path / "f.npz", **CHANGES[change])
    with pytest.raises(DataError, match="holds no fluctuations"):
        load_fluctuations(path)


def bytes_of(array: np.ndarray, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


CONTENTS = {
    "empty": b"",
    "text": b"exponent,window\n1,2\n",
    "a single array": bytes_of(np.arange(3)),
    "a pickled array": bytes_of(np.array([{"a": 1}], dtype=object), pickled=True),
    "half a zip": b"PK\x03\x04" + bytes(60),
}


@pytest.mark.parametrize("content", CONTENTS)
def test_files_of_another_kind_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "f.npz"
    path.write_bytes(CONTENTS[content])
    with pytest.raises(DataError, match="holds no arrays"):
        load_fluctuations(path)


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match=r'"readme\.txt", which is no array'):
        load_fluctuations(tmp_path / "f.npz")


@pytest.mark.usefixtures("without_shape_checker")
def test_damage_anywhere_in_a_file_is_refused_or_harmless(tmp_path: Path, fluctuations: Fluctuations) -> None:
    path = tmp_path / "f.npz"
    save_fluctuations(path, fluctuations)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole)
        position = int(generator.integers(len(whole)))
        damaged[position] ^= int(generator.integers(1, 256))
        path.write_bytes(damaged if generator.random() < 0.7 else whole[:position])
        try:
            back = load_fluctuations(path)
        except DataError:
            continue
        # Damage to dates and the like: the sums are checked, so what is read is what was written.
        assert all(back[name] == fluctuations[name] for name in back)

"""Files that stand for more than they hold are counted before anything is made of them."""

import io
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from critlearn.errors import DataError
from critlearn.reading.arrays import mapped_array, read_array, read_arrays
from critlearn.reading.csv_table import parsed_csv
from critlearn.reading.limits import LONGEST_NAME, MOST_COLUMNS
from critlearn.reading.text_file import decoded, read_text, standard_input


def header(shape: str, kind: str = "'<f8'") -> bytes:
    """Start of an ``.npy`` file that says so of its array."""
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header("(1000000000000,)"), "it ends before its array does"),
        (header("(10000000, 100000)"), "it ends before its array does"),
        (header("(1000000000000,)", "'|V0'"), "its values take no bytes"),
        (header("(1000000000000,)", "'<U0'"), "its values take no bytes"),
        (header("(-1,)"), "less than none of them"),
        (header("(1000000, 1000000, 1000000, 1000000, 0)"), "cannot be read"),
        (header("(1,)", "'|O'"), "it holds Python objects"),
        (header("(((((1,),),),),)"), "cannot be read"),
        (header("(1" + "0" * 5000 + ",)"), "cannot be read"),
        (b"\x93NUMPY\x01\x00\xff\xff", "cannot be read"),
        (b"", "cannot be read"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("error")
def test_arrays_are_not_larger_than_their_file(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_array(tmp_path / "x.npy")
    # The header is looked at before NumPy computes with its shape, and warns of what overflows.
    with pytest.raises(DataError, match=message):
        mapped_array(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(DataError):
        read_arrays(tmp_path / "x.npz")


def test_a_file_with_a_hole_is_no_array_of_its_size(tmp_path: Path) -> None:
    content = header("(100000000000,)")
    with (tmp_path / "hole.npy").open("wb") as file:
        file.write(content)
        file.truncate(len(content) + 800_000_000_000)
    with pytest.raises(DataError, match="takes more than 4 GiB"):
        read_array(tmp_path / "hole.npy")
    with pytest.raises(DataError, match="takes more than 1024 MiB"):
        read_text(tmp_path / "hole.npy")


def test_an_archive_of_zeros_is_not_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The same at a quarter of the size, which takes a quarter of the time to make.
    monkeypatch.setattr("critlearn.reading.arrays.LARGEST_EXPANDED", 64 << 20)
    path = tmp_path / "zeros.npz"
    np.savez_compressed(path, x=np.zeros((8 << 20) + 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="expands to more than 64 MiB"):
        read_arrays(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10


def test_text_of_unseen_size_is_bounded_more_than_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("critlearn.reading.text_file.LARGEST_UNSEEN_TEXT", 1 << 20)
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n" * (1 << 19)))
    assert len(standard_input()) == 1 << 20
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n" * (1 << 19) + "1"))
    with pytest.raises(DataError, match="more than 1 MiB of text: put it in a file, or save it"):
        standard_input()


def test_compressed_and_plain_archives_are_read(tmp_path: Path) -> None:
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", a=np.arange(5.0), b=np.eye(2))
        assert read_arrays(tmp_path / "x.npz")["a"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",".join(map(str, range(MOST_COLUMNS + 1))) + "\n1\n", f"has {MOST_COLUMNS + 1:,} columns"),
        ("a" * 200_000 + ",b\n1,2\n", "names of its columns cannot be read|has a name of 200,000 characters"),
        ('"' + "a" * 200_000 + '",b\n1,2\n', "names of its columns cannot be read"),
        ('a,"' + "b\n" * 60_000 + "\n1,2\n", "is no table"),
        ("b," + "a" * (LONGEST_NAME + 1) + "\n1,2\n", "column 2 has a name of 1,001 characters"),
    ],
    ids=["columns", "name", "quoted", "open quote", "long name"],
)
def test_names_of_columns_are_counted_first(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parsed_csv(text, "it")


def test_as_many_columns_as_are_allowed_are_read() -> None:
    names = [f"gene{place}" for place in range(MOST_COLUMNS)]
    text = ",".join(names) + "\n" + ",".join("1" * MOST_COLUMNS) + "\n"
    assert parsed_csv(text, "it").shape == (1, MOST_COLUMNS)
    with pytest.raises(DataError, match='2 of its columns are called "gene0"'):
        parsed_csv(text.replace("gene1,", "gene0,", 1), "it")


def test_text_is_utf_8_without_nul() -> None:
    assert decoded("\ufeffé".encode(), "it") == "é"
    for content in (b"\xff", b"a\0b"):
        with pytest.raises(DataError):
            decoded(content, "it")


def test_what_never_ends_is_read_to_the_limit_only() -> None:
    with pytest.raises(DataError, match="takes more than 1 MiB"):
        read_text(Path("/dev/zero"), 1 << 20)


def test_names_that_no_file_has_are_refused(tmp_path: Path) -> None:
    for name in ("a" * 300, "a\0b", "missing", "."):
        with pytest.raises(DataError, match="cannot be read"):
            read_text(tmp_path / name)

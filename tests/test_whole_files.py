"""Files that are there whole or not at all."""

import os
from pathlib import Path

import pytest

from critlearn.errors import OutputError
from critlearn.whole_files import check_writable, replacing, write_whole


def test_a_file_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        assert write_whole(tmp_path / "folder" / "file", content).read_bytes() == content
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["file"]


def test_what_fails_half_way_leaves_the_file_before_and_nothing_else(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "file", b"before")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_a_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as first, replacing(path) as second:
        first.write_bytes(b"a longer one")
        second.write_bytes(b"short")
    assert path.read_bytes() in (b"a longer one", b"short")
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write"):
        write_whole(tmp_path / "file" / "below", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_whole(tmp_path / "folder", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write to the folder"):
        check_writable(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot write to the folder"):
        check_writable(tmp_path / "file" / "runs")
    check_writable(tmp_path / "new" / "runs")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o002])
def test_files_have_the_rights_that_the_mask_of_the_user_gives(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "file") as temporary:
            # As safetensors writes: under a name of its own that nobody else may read, then renamed.
            temporary.unlink()
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask

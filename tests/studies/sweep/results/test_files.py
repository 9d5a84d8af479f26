"""Stores behind URLs: the same cells as in a folder, uploaded with their records last, and errors in one line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from critlearn.errors import InvalidInputError, OutputError
from critlearn.studies import Study, load_results
from critlearn.studies.sweep.engines.local import Task
from critlearn.studies.sweep.results.files import StoreFiles
from critlearn.studies.sweep.results.store import ResultsStore
from critlearn.studies.sweep.run import sweep
from critlearn.studies.sweep.study.cells import Cell, expand

STUDY = Study.model_validate(
    {
        "name": "small",
        "system": {"activation": "softsign", "loss": "mse"},
        "data": {"samples": 2000},
        "training": {"epochs": 5, "batch_size": 500, "lr": 0.05},
        "seeds": [0, 1],
    }
)


class Bucket(MemoryFileSystem):  # type: ignore[misc]
    """Objects in memory, with a log of what is put there and errors of its own kind."""

    protocol = "bucket"
    put: ClassVar[list[str]] = []
    broken = False

    def put_file(self, local: str, path: str, **settings: Any) -> None:
        """Upload, or fail as a connection does."""
        if Bucket.broken:
            raise LookupError("no route to the bucket")
        Bucket.put.append(Path(path).name)
        super().put_file(local, path, **settings)


@pytest.fixture
def location() -> Iterator[str]:
    fsspec.register_implementation("bucket", Bucket, clobber=True)
    Bucket.put.clear()
    yield "bucket://study"
    Bucket.broken = False
    Bucket.store.clear()
    Bucket.pseudo_dirs[:] = [""]


def here(cells: tuple[Cell, ...], task: Task) -> Iterator[tuple[Cell, str | None]]:
    for cell in cells:
        yield cell, task(cell)


@pytest.mark.usefixtures("without_shape_checker")
def test_a_bucket_holds_what_a_folder_holds(location: str, tmp_path: Path) -> None:
    assert [reason for _, reason in sweep(STUDY, location, here)] == [None, None]
    assert [name for name in Bucket.put if name == "run.json"] == ["run.json"] * 2
    assert Bucket.put[len(Bucket.put) // 2 - 1] == Bucket.put[-1] == "run.json"
    list(sweep(STUDY, str(tmp_path), here))
    varying = ["seconds"]
    there, local = (load_results(place).drop(columns=varying) for place in (location, str(tmp_path)))
    assert there.equals(local)
    assert list(sweep(STUDY, location, here)) == []


@pytest.mark.usefixtures("without_shape_checker")
def test_a_cell_without_its_record_is_run_again(location: str) -> None:
    list(sweep(STUDY, location, here))
    name = expand(STUDY)[0].name
    StoreFiles(location).remove(f"cells/{name}/run.json")
    assert ResultsStore(location).cell(name).status == "missing"
    assert [cell.name for cell, _ in sweep(STUDY, location, here)] == [name]
    assert ResultsStore(location).cell(name).status == "finished"


@pytest.mark.usefixtures("without_shape_checker")
def test_what_a_backend_raises_is_one_line(location: str) -> None:
    Bucket.broken = True
    with pytest.raises(OutputError, match=r'the store "bucket://study" cannot be used: no route to the bucket'):
        list(sweep(STUDY, location, here))
    Bucket.broken = False
    assert [reason for _, reason in sweep(STUDY, location, here)] == [None, None]


def test_what_other_processes_do_not_see_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="other processes do not see it"):
        ResultsStore("memory://study", create=True)


def test_an_unknown_kind_of_url_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r'"nowhere://a" is not a store: Protocol not known: nowhere'):
        ResultsStore("nowhere://a", create=True)


def test_a_bucket_that_holds_other_things_is_left_alone(location: str) -> None:
    StoreFiles(location).write("thesis.txt", b"mine")
    with pytest.raises(InvalidInputError, match=r"is not a store of results: it has no critlearn-store.json"):
        ResultsStore(location, create=True)


@pytest.mark.parametrize(
    "location",
    [
        "zip://x::good.csv",
        "github://a:b@c/",
        "simplecache::s3://x",
        "filecache::/tmp",
        "tar://x",
        "data://,x",
        "git://x",
    ],
)
def test_what_is_no_store_is_refused_before_anything_is_opened(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("it was opened")

    monkeypatch.setattr(fsspec.core, "url_to_fs", never)
    with pytest.raises(InvalidInputError, match="is not a store: it is a folder, or a place such as s3"):
        StoreFiles(location)


def test_a_backend_that_fails_at_once_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route\nto it")

    monkeypatch.setattr(fsspec.core, "url_to_fs", fails)
    with pytest.raises(InvalidInputError, match=r"is not a store: no route$"):
        StoreFiles("s3://bucket")

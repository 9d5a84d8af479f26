"""Mutated files of each kind are refused in one line, or read; `make validate` tries twenty times as many."""

import random
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import jaxtyping
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference.validation_scripts import script

NAMES = (
    "table.csv", "numbers.txt", "array.npy", "table.csv of samples", "table.csv.gz", "table.parquet", "arrays.npz",
    "checkpoint", "record of a monitor", "study", "record", "sketches", "weights", "sketches without hash",
    "weights without hash", "cell", "record of a cell", "list of cells", "mark of a store",
)  # fmt: skip
EXAMPLES = 500 // len(NAMES) + 1


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return script("hostile_files")


@pytest.fixture(scope="module")
def kinds(module: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Files of each kind, and the commands that read it."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield module.kinds(tmp_path_factory.mktemp("files"))
    jaxtyping.config.update("jaxtyping_disable", False)


def test_every_kind_is_attacked(kinds: dict[str, Any]) -> None:
    assert set(kinds) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_mutated_files_are_refused_in_one_line_or_read(name: str, module: ModuleType, kinds: dict[str, Any]) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(seed=st.integers(0, 2**32 - 1))
    def attacked(seed: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module.attack(kinds[name], seed)

    attacked()


def test_whole_files_are_read(module: ModuleType, kinds: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # Or the attacks would show nothing: a command that refuses everything passes them all.
    monkeypatch.setattr(module, "mutated", lambda content, _: content)
    for name, kind in kinds.items():
        codes = dict(module.attack(kind, 0))
        assert [command for command, code in codes.items() if code] in ([], ["dynamics"]), name


def test_files_are_mutated_in_all_ways(module: ModuleType) -> None:
    content = b"name: small\n" * 20
    found = {module.mutated(content, random.Random(seed)) for seed in range(300)}
    assert len(found) > 200
    assert {len(changed) < len(content) for changed in found} == {True, False}
    assert any(token in changed for changed in found for token in (b"[" * 3000, b"!!int abc"))

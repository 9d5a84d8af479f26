"""The front door: every public name is there, listed once, and imported only when it is used."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import critlearn


def test_every_name_resolves_and_is_listed() -> None:
    assert sorted(critlearn._HOME) == sorted(name for name in critlearn.__all__ if name != "__version__")
    for name in critlearn.__all__:
        assert getattr(critlearn, name) is not None
    assert dir(critlearn) == sorted(critlearn.__all__)


def test_every_public_name_stands_in_the_reference() -> None:
    page = (Path(__file__).parents[1] / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    entries = re.findall(r"^::: (\S+)$", page, re.MULTILINE)
    assert len(set(entries)) == len(entries)
    for entry in entries:
        module, _, name = entry.rpartition(".")
        assert getattr(importlib.import_module(module), name) is not None
    missing = set(critlearn.__all__) - {entry.rpartition(".")[2] for entry in entries} - {"__version__"}
    assert missing == set()


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = critlearn.nothing


@pytest.mark.parametrize(
    "statement",
    [
        "import critlearn",
        "from critlearn import fit_power_law, predict_toy, Composition, parse_density; "
        "predict_toy(Composition('tanh', 'mse'), parse_density('normal(1,1)'), 2.0, 0.0)",
        "import numpy; from critlearn import fit_power_law; fit_power_law(numpy.linspace(1e-3, 1, 500))",
        "from critlearn.cli.main import app, exit_code; exit_code(app, ['--help'])",
    ],
)
def test_torch_is_not_loaded_until_it_is_needed(statement: str) -> None:
    code = f"{statement}; import sys; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

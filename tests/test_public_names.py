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


def _reference() -> list[tuple[str, str]]:
    """Modules and names of the entries of the reference."""
    page = (Path(__file__).parents[1] / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    entries = re.findall(r"^::: (\S+)$", page, re.MULTILINE)
    return [(module, name) for module, _, name in (entry.rpartition(".") for entry in entries)]


def test_every_public_name_stands_in_the_reference_once() -> None:
    names = [name for _, name in _reference()]
    assert len(set(names)) == len(names)
    assert set(critlearn.__all__) - {"__version__"} <= set(names)


def test_a_name_comes_from_the_module_that_the_reference_tells() -> None:
    for module, name in _reference():
        found = getattr(importlib.import_module(module), name)
        assert found is getattr(critlearn, name, found)


def test_type_checkers_know_exactly_the_public_names(tmp_path: Path) -> None:
    named = "".join(f"critlearn.{name}\n" for name in critlearn.__all__)
    (tmp_path / "use.py").write_text(f"import critlearn\n{named}critlearn.nope\n")
    # The package's own file alone: what it imports need not be checked to know its names.
    settings = ("[mypy]", "strict = True", "[mypy-critlearn.*]", "follow_imports = skip", "[mypy-critlearn]", "")
    (tmp_path / "mypy.ini").write_text("\n".join(settings) + "follow_imports = silent\n")
    command = [sys.executable, "-m", "mypy", "use.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        f'use.py:{len(critlearn.__all__) + 2}: error: Module has no attribute "nope"  [attr-defined]',
        "Found 1 error in 1 file (checked 1 source file)",
    ]


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = critlearn.nothing


@pytest.mark.parametrize(
    "statement",
    [
        "import critlearn",
        "from critlearn import fit_power_law, Composition; "
        "from critlearn.prediction import predict_toy, parse_density; "
        "predict_toy(Composition('tanh', 'mse'), parse_density('normal(1,1)'), 2.0, 0.0)",
        "import numpy; from critlearn import fit_power_law; fit_power_law(numpy.linspace(1e-3, 1, 500))",
        "from critlearn.cli.main import app, exit_code; exit_code(app, ['--help'])",
    ],
)
def test_torch_is_not_loaded_until_it_is_needed(statement: str) -> None:
    code = f"{statement}; import sys; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

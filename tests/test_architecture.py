"""The house rules that a reader cannot see at a glance: who imports whom, what stays unloaded, who prints."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

import critlearn

ROOT = Path(__file__).parents[1]
SOURCE = Path(critlearn.__file__).parent


def test_import_contracts_hold(capsys: pytest.CaptureFixture[str]) -> None:
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_no_file_imports_itself_by_way_of_others() -> None:
    # Imports for type checkers and inside functions count: a circle is one wherever it is hidden.
    graph = grimp.build_graph("critlearn", exclude_type_checking_imports=False, cache_dir=None)
    imports = {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}
    TopologicalSorter(imports).prepare()


def test_every_package_has_its_layer() -> None:
    import tomllib

    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    placed = {name.strip(" ()") for layer in layers for name in layer.split("|")}
    modules = {path.stem for path in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert modules | packages <= placed


MOST_ENTRIES = 14
"""Files and sub-packages of one package that a reader can take in at a glance."""

PACKAGES = [path.parent for path in sorted(SOURCE.rglob("__init__.py")) if path.parent.name not in ("critlearn", "cli")]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_package_lists_no_more_than_a_reader_takes_in(package: Path) -> None:
    files = [path.name for path in package.glob("*.py") if path.name != "__init__.py"]
    packages = [path.parent.name for path in package.glob("*/__init__.py")]
    assert len(files) + len(packages) <= MOST_ENTRIES, sorted(files + packages)


@pytest.mark.parametrize("package", ["", "inference", "dynamics", "prediction", "compositions", "numerics", "errors"])
def test_what_needs_no_torch_loads_none(package: str) -> None:
    module = f"critlearn.{package}".rstrip(".")
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fitting_and_predicting_load_no_torch() -> None:
    code = """
import sys
import numpy as np
from critlearn.compositions import Composition
from critlearn.inference import fit_power_law
from critlearn.prediction import parse_density, predict_toy
predict_toy(Composition("softsign", "mse"), parse_density("uniform(-0.3,2.3)"), 5.0, 0.0)
fit_power_law(np.exp(-5 * np.random.default_rng(0).random(2000)))
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_folder_with_code_is_a_package() -> None:
    # One without __init__.py is imported all the same here, and left out of what is installed and of the contracts.
    assert [str(path) for path in SOURCE.rglob("*.py") if not (path.parent / "__init__.py").is_file()] == []


SILENT = [path for path in sorted(SOURCE.rglob("*.py")) if "cli" not in path.relative_to(SOURCE).parts]


@pytest.mark.parametrize("path", SILENT, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_but_the_command_line_prints_or_plots_or_evaluates(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"print", "eval", "exec", "input", "breakpoint"}
    # What torch reads with weights_only=True is tensors, and no code.
    safe = {
        id(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and any(
            word.arg == "weights_only" and isinstance(word.value, ast.Constant) and word.value.value is True
            for word in node.keywords
        )
    }
    named = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and id(node) not in safe
    }
    assert not named & {"sys.stdout", "sys.stderr", "pickle.load", "pickle.loads", "torch.load"}


def test_importing_critlearn_loads_nothing_but_the_standard_library() -> None:
    code = """
import sys
before = set(sys.modules)
import critlearn
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
sys.exit(str(loaded - set(sys.stdlib_module_names) - {"critlearn"} or ""))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""

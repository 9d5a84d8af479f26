"""What works where PyTorch is not installed, and the line that all else says there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REFUSE_TORCH = """
import sys

class Refusing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, Refusing)
"""
NEEDED = 'this needs PyTorch: pip install "critlearn[torch]"'


def _python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", REFUSE_TORCH + code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def _critlearn(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return _python(f"from critlearn.cli.main import app, exit_code\nsys.exit(exit_code(app, {arguments}))", folder)


@pytest.fixture
def sizes(tmp_path: Path) -> Path:
    # Quantiles of a density ~ x^-2 from 1 to 1000.
    numbers = (1 / (1 - 0.999 * (i + 0.5) / 3000) for i in range(3000))
    file = tmp_path / "sizes.csv"
    file.write_text("size\n" + "\n".join(map(str, numbers)) + "\n", encoding="utf-8")
    return file


def test_a_fit_with_its_picture(sizes: Path) -> None:
    done = _critlearn(["fit", "sizes.csv", "--window", "1.5,500", "--plot", "fit.svg", "--json"], sizes.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["exponent"] == pytest.approx(2, abs=0.1)
    assert (sizes.parent / "fit.svg").stat().st_size > 1000


def test_the_dynamics_of_a_series(tmp_path: Path) -> None:
    rows = "\n".join(str((37 * step * step) % 101) for step in range(150))
    (tmp_path / "series.csv").write_text(f"level\n{rows}\n", encoding="utf-8")
    done = _critlearn(["dynamics", "series.csv", "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 150


def test_a_prediction(tmp_path: Path) -> None:
    done = _critlearn(["predict", "--activation", "y/(1+abs(y))", "--loss", "abs(e)**3", "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["exact"] == "5/4"
    done = _critlearn(["predict", "--activation", "tanh", "--loss", "mse", "--density", "normal(0,1)"], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("part", [["--activation", "tanh"], ["--classes", "5"]])
def test_a_design_with_its_picture(part: list[str], tmp_path: Path) -> None:
    done = _critlearn(["design", "--exponent", "1.5", *part, "--plot", "design.png", "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["exact"] == "3/2"
    assert (tmp_path / "design.png").stat().st_size > 1000


@pytest.mark.parametrize("arguments", [["--help"], ["run", "toy", "--help"], ["table", "--loss", "mse"]])
def test_help_and_table(arguments: list[str], tmp_path: Path) -> None:
    done = _critlearn(arguments, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_doctor_says_what_is_missing(tmp_path: Path) -> None:
    done = _critlearn(["doctor", "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["ok"]
    assert 'pip install "critlearn[torch]"' in told["checks"]["GPU"]["advice"]
    assert "exact" in told["checks"]["precision"]["finding"]


def test_fit_predict_and_design_in_python(tmp_path: Path) -> None:
    code = """
import numpy as np
import critlearn as cl
from critlearn.inverse_design import design

cl.fit_power_law(np.exp(-5 * np.random.default_rng(0).random(2000))).summary()
assert cl.Composition("softsign", "mse").asymptotic().exact == "4/3"
design(1.5, activation="tanh").summary()
"""
    done = _python(code, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["run", "toy"], ["run", "two-class", "--data", "gaussians"], ["sweep", "study.yaml"], ["runs", "list"]],
)
def test_commands_that_train_or_read_what_was_trained_name_the_extra(arguments: list[str], tmp_path: Path) -> None:
    done = _critlearn(arguments, tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"critlearn: {NEEDED}\n"


@pytest.mark.parametrize(
    "statement",
    [
        "import critlearn; critlearn.measure",
        "from critlearn import NeuralSystem",
        "import critlearn.equilibrium.moments",
        "from critlearn import Composition; Composition(lambda y: y / (1 + abs(y)), 'mse')",
        "from critlearn.inverse_design import design; design(1.5, activation='tanh').loss_module()",
    ],
)
def test_names_that_need_torch_name_the_extra(statement: str, tmp_path: Path) -> None:
    done = _python(statement, tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r"critlearn\.errors\.MissingPackageError: (.*)", done.stderr.splitlines()[-1])[1] == NEEDED


def test_a_torch_that_is_broken_is_not_called_missing(tmp_path: Path) -> None:
    broken = tmp_path / "torch.py"
    broken.write_text("import no_such_package_of_torch\n", encoding="utf-8")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport critlearn; critlearn.measure"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError: No module named 'no_such_package_of_torch'" in done.stderr.splitlines()[-1]

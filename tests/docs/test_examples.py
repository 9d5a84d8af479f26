"""What the documentation shows is what happens: its commands and examples are taken from the pages and run."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from safetensors.torch import save_file

from reference.validation_scripts import module_of

ROOT = Path(__file__).parents[2]
PROGRAM = f'{sys.executable} -c "from critlearn.cli.main import main; main()"'
PAGES = [
    *(ROOT / "docs" / name for name in ("tutorial.md", "pitfalls.md", "failures.md", "monitor.md", "explained.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
]
_BLOCK = re.compile(r"^```(python|bash)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHORTER = {
    "--seeds": " --seeds 2 --epochs 20 --hidden 4 --data breast-cancer",
    "run two-class": " --epochs 20 --hidden 4",
    "run classes": " --epochs 20 --hidden 4 --data digits",
    "run toy": " --samples 20000 --batch-size 1000 --epochs 40",
}
"""Added to the README's commands, which otherwise train for minutes."""


SMALLER = {
    "[sigmoid, tanh, softsign, arctan]": "[tanh]",
    "[mse, bce, mae]": "[mse]",
    "seeds: [0, 1]": "seeds: [0]",
    "samples: 20000": "samples: 2000",
    "epochs: 250": "epochs: 3",
}
"""What is cut in the README's study, which otherwise takes minutes."""


@pytest.fixture
def newcomer(tmp_path: Path) -> dict[str, str]:
    """Environment of somebody who has just installed critlearn: an empty home, and the program on the path."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    program = programs / "critlearn"
    program.write_text(f'#!/bin/sh\nexec {PROGRAM} "$@"\n')
    program.chmod(0o755)
    source = str(ROOT / "src")
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "HOME": str(home), "PATH": path, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path, newcomer: dict[str, str]) -> None:
    blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks
    work = tmp_path / "work"
    work.mkdir()
    code = "\n".join(text for kind, text in blocks if kind == "python")
    if code:
        _run([sys.executable, "-c", code], work, newcomer)
    for kind, text in blocks:
        if kind == "bash":
            _run(["bash", "-euc", text], work, newcomer)


@pytest.mark.slow
def test_the_commands_of_the_readme_run(tmp_path: Path, newcomer: dict[str, str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    \.venv/bin/(critlearn .*?)(?:\s+#.*)?$", readme, flags=re.MULTILINE)
    assert len(commands) >= 8
    work = tmp_path / "work"
    work.mkdir()
    sizes = np.random.default_rng(0).pareto(1.5, 2000) + 1
    (work / "sizes.csv").write_text("size\n" + "\n".join(map(str, sizes)) + "\n")
    _write_network(work)
    (work / "checkpoints").mkdir()
    for step, weights in enumerate(torch.randn(120, 8).cumsum(dim=0)):
        save_file({"weight": weights}, work / "checkpoints" / f"step{step}.safetensors")
    (work / "studies").mkdir()
    study = (ROOT / "studies" / "smoke.yaml").read_text(encoding="utf-8")
    for whole, part in SMALLER.items():
        assert whole in study
        study = study.replace(whole, part)
    (work / "studies" / "smoke.yaml").write_text(study, encoding="utf-8")
    for command in commands:
        if "runs/RUN" in command:
            # Of the runs that earlier commands made, one of a single network.
            alone = (run for run in (work / "runs").glob("*two-class*") if not (run / "cells").is_dir())
            command = command.replace("runs/RUN", str(next(alone)))
        if command.startswith(("critlearn explore", "critlearn reproduce")):
            # One serves until it is stopped, and one takes minutes: see the tests of the explorer, and of the page.
            continue
        longer = next((more for start, more in SHORTER.items() if start in command), "")
        assert _run(["bash", "-euc", command + longer], work, newcomer).strip()
    assert (work / "fit.svg").stat().st_size > 0
    assert len(list((work / "runs").glob("*/report.html"))) == 6


def _write_network(folder: Path) -> None:
    """Write the file of the page on one's own network, and weights for its network."""
    page = (ROOT / "docs" / "how-to" / "own_network.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^    # net\.py\n(?:(?:    .*)?\n)+", page, flags=re.MULTILINE)
    (folder / "net.py").write_text(textwrap.dedent(code), encoding="utf-8")
    network = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    save_file(network.state_dict(), folder / "weights.safetensors")


def _made_notebook() -> nbformat.NotebookNode:
    module = module_of(ROOT / "docs" / "make_notebook.py", "make_notebook")
    return module.notebook((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"))


def test_the_notebook_is_that_of_the_tutorial() -> None:
    stored = nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)
    nbformat.validate(stored)
    made = _made_notebook()
    assert [(c.cell_type, c.source) for c in stored.cells] == [(c.cell_type, c.source) for c in made.cells]


@pytest.mark.slow
def test_the_notebook_runs_and_ends_in_a_verdict(
    tmp_path: Path, newcomer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in newcomer.items():
        monkeypatch.setenv(name, value)
    stored = nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)
    # The commands of the shell are those of the page, which are run above.
    stored.cells = [cell for cell in stored.cells if not cell.source.startswith("!")]
    done = NotebookClient(stored, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    told = "".join(output.get("text", "") for output in outputs)
    assert told.startswith("at equilibrium")
    assert told.strip().endswith("; agrees.")
    assert any("<table>" in output.get("data", {}).get("text/html", "") for output in outputs)

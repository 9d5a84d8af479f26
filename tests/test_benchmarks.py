"""Benchmarks: asking for help runs nothing, and pages of the docs are written whole or not at all."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
PAGE = """# Speed

By hand.

## W1: old

old numbers of W1

## W2: old

old numbers of W2

## Where the time goes

By hand, too.
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def script(name: str, monkeypatch: pytest.MonkeyPatch, page: Path | None = None) -> ModuleType:
    """A benchmark that writes to another page."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    if page is not None:
        monkeypatch.setattr(module, "PAGE", page)
    return module


@pytest.mark.parametrize(
    "name",
    ["engine", "duality", "hundred_million", "inference", "ladder", "language_model", "scaling", "training_step"],
)
def test_help_and_nonsense_run_nothing(
    name: str, page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = script(name, monkeypatch, None if name == "hundred_million" else page)
    for run in ("compare", "child", "seconds", "measure", "sample"):
        monkeypatch.setattr(module, run, lambda *_, **__: pytest.fail("it runs"), raising=False)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("it runs"))
    for arguments, status in ((["--help"], 0), (["W9"], 2), (["--nonsense"], 2)):
        with pytest.raises(SystemExit) as left:
            module.main(arguments)
        assert left.value.code == status
        said = capsys.readouterr()
        assert len(said.err.splitlines()) == (1 if status else 0)
        assert ("usage" in said.out) == (status == 0)
    assert page.read_text() == PAGE
    assert list(page.parent.iterdir()) == [page]


def _found(module: ModuleType, workload: str, **without: str) -> dict[str, object]:
    """Results of all methods: floors take 0.1 s, ours 0.4 s, peers 1 s; some are replaced by reasons."""
    seconds = {"floor": 0.1, "critlearn": 0.4}
    found: dict[str, object] = {
        method: {"seconds": seconds.get(method.split()[0], 1.0), "megabytes": 10.0, "count": 7}
        for method in module.methods_on(workload)
    }
    return found | without


def test_workloads_that_are_not_run_keep_their_sections(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("engine", monkeypatch, page)
    refused = {"BackPACK + bincount": "AttributeError: no grad_batch"}
    monkeypatch.setattr(module, "compare", lambda name: _found(module, name, **refused))
    assert module.main(["W2", "W1-sparse"]) == 0
    text = page.read_text()
    assert text.startswith("# Speed\n\nBy hand.\n\n## W1: old\n\nold numbers of W1\n\n")
    assert text.endswith("\n\n## Where the time goes\n\nBy hand, too.\n")
    assert "old numbers of W2" not in text
    assert "| BackPACK + bincount | does not run: AttributeError: no grad_batch | | |" in text
    assert "| floor: forward and backward pass | 4.0 times the floor | - |" in text
    assert "| best peer + np.histogram | 2.5 times faster | at least 3 |" in text
    headings = [line.split(":")[0] for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## W1", "## W1-sparse", "## W2", "## Where the time goes"]


def test_a_page_of_all_workloads_has_an_introduction_of_its_own(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("engine", monkeypatch, page)
    monkeypatch.setattr(module, "compare", lambda name: _found(module, name))
    assert module.main([]) == 0
    text = page.read_text()
    assert text.startswith(module.INTRODUCTION)
    headings = [line.split(":")[0] for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## W1", "## W1-sparse", "## W2", "## W3", "## Where the time goes"]
    page.unlink()
    assert module.main(["W3"]) == 0
    assert page.read_text().startswith(module.INTRODUCTION + "\n## W3: ")


@pytest.mark.parametrize(
    "without",
    [
        {"critlearn 256": "RuntimeError: no"},
        {"Opacus + bincount": "ModuleNotFoundError: No module named 'opacus'"},
        {"BackPACK + own kernel": "stopped by signal 9"},
    ],
)
def test_workloads_without_full_results_are_left_out(
    without: dict[str, str], page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = script("engine", monkeypatch, page)
    monkeypatch.setattr(module, "compare", lambda name: _found(module, name, **(without if name == "W1" else {})))
    assert module.main(["W1"]) == 1
    assert page.read_text() == PAGE
    assert f"W1: not on the page, as there is no result of {next(iter(without))}" in capsys.readouterr().err
    assert module.main([]) == 1
    assert "old numbers of W1" in page.read_text()
    assert page.read_text().startswith("# Speed\n\nBy hand.")


def test_an_interrupted_run_leaves_the_page(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("scaling", monkeypatch, page)
    calls: list[int] = []

    def seconds(width: int, samples: int, *, exact: bool) -> float:
        calls.append(width)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return 1e-6 * width * samples

    monkeypatch.setattr(module, "seconds", seconds)
    with pytest.raises(KeyboardInterrupt):
        module.main([])
    assert page.read_text() == PAGE
    module.main([])
    assert "| 4096 | 4096.0 | 0.2441 | 32.0 | 32 | 4096 |" in page.read_text()
    assert list(page.parent.iterdir()) == [page]


def test_a_method_that_fails_leaves_the_page(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = script("duality", monkeypatch, page)

    class Done:
        returncode, stdout, stderr = 1, "", "Traceback\nMemoryError: too much\n"

    monkeypatch.setattr("subprocess.run", lambda *_, **__: Done)
    assert module.main([]) == 1
    said = capsys.readouterr().err
    assert said == "critlearn 1 does not run: MemoryError: too much; the page stays as it is\n"
    assert page.read_text() == PAGE


def test_the_page_of_spectra_is_what_the_script_writes(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("duality", monkeypatch, page)
    row = {"seconds": 0.5, "wall": 0.75, "megabytes": 4.0, "parameters": 10**7, "values": [2.0, 1.0]}

    def run(command: list[str], **_: object) -> object:
        slower = {"seconds": 100.0, "megabytes": 400.0, "values": [2.0, 1.5]} if "torch.func 1" in command else {}
        return SimpleNamespace(returncode=0, stdout=json.dumps(row | slower), stderr="")

    monkeypatch.setattr("subprocess.run", run)
    assert module.main([]) == 0
    text = page.read_text()
    assert text.startswith(module.INTRODUCTION)
    assert "| one sample, times faster than the dense route | 200 | at least 100 |" in text
    assert "| largest difference of singular values, of the largest | 2.5e-01 | 1e-10 |" in text
    assert "| conv | 10,000,000 | 0.5 | 0.8 | under 10 s |" in text
    # The page of the docs has these lines, with other numbers.
    kept = (FOLDER.parent / "docs" / "duality_speed.md").read_text()
    assert kept.startswith(module.INTRODUCTION)
    assert [line.split("|")[1] for line in kept.splitlines() if "|" in line] == [
        line.split("|")[1] for line in text.splitlines() if "|" in line
    ]


def test_a_peer_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("inference", monkeypatch)
    monkeypatch.setattr(module, "DRAWS", {"continuous": "np.ones({n})", "discrete": "np.arange(1, {n})"})
    monkeypatch.setattr(module, "PEER", 'while {discrete}: pass\nprint(\'{{"exponent": 2.5, "whole": 1.0}}\')')
    peer = module.PeerTime(2.0)
    assert peer.fit("continuous", 100) == {"exponent": 2.5, "whole": 1.0}
    assert peer.fit("discrete", 100) == {"stopped": 2}
    assert peer.unfinished == {"discrete"}
    assert peer.left < 1
    assert peer.fit("continuous", 100) is None
    rows = [module._row(100, 2.5, 0.5, {"stopped": 2}), module._row(100, None, 0.5, None)]
    assert rows == [
        "| 100 | 2.5000 | 0.500 | stopped | over 2 | over 2 | over 4 |\n",
        "| 100 | none | 0.500 | not run |  |  |  |\n",
    ]


def test_the_ladder_is_compared_with_the_measurement_alone(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("ladder", monkeypatch, page)
    found = {
        "measure": {"measure": 2.0, "levels": 0.0, "peak": 0.5, "variables": 1377, "samples": 60_000},
        "ladder": {"measure": 3.0, "levels": 0.5, "peak": 0.6, "variables": 1377, "samples": 60_000},
    }
    monkeypatch.setattr(
        "subprocess.run", lambda command, **_: SimpleNamespace(stdout=json.dumps(found[command[-1]]))
    )  # fmt: skip
    module.main(["flights", "--out", str(page)])
    row = page.read_text().splitlines()[-1]
    assert row == "| flights, 8-32-32-1 | 60,000 | 1,377 | 2.00 | 3.00 | 0.50 | 1.75 | 0.50 | 0.60 |"

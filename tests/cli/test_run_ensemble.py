"""``critlearn run --seeds``: what is printed and written, and what Ctrl-C leaves."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from critlearn.cli.main import app, exit_code
from critlearn.reports.typeset import typeset
from critlearn.studies.runs.listing import run_rows

PROGRAM = [sys.executable, "-c", "from critlearn.cli.main import main; main()"]
TOY = ["run", "toy", "--samples", "3000", "--epochs", "60", "--batch-size", "500", "--lr", "0.1"]


def test_json_is_the_pooled_record_and_the_page_tells_of_the_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(app, [*TOY, "--seed", "7", "--seeds", "2", "--json", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    record = json.loads(printed.out)
    folder = Path(record["run_dir"])
    assert json.loads((folder / "run.json").read_text()) == record
    found = record["quantities"]["bias"]["ensemble"]
    assert set(found) == {"seeds", "exponents", "mean", "sd", "ci95"}
    page = (folder / "report.html").read_text()
    assert "Seeds 7 to 8" in page
    assert str(typeset(record["quantities"]["bias"]["statement"])) in page
    assert "--seed 7" in page and "--seeds 2" in page  # noqa: PT018
    # Shown and made again as any other run.
    assert exit_code(app, ["runs", "show", folder.name, "--out", str(tmp_path)]) == 0
    assert exit_code(app, ["report", str(folder)]) == 0
    assert exit_code(app, ["report", str(folder / "cells")]) == 0
    assert exit_code(app, ["results", str(folder)]) == 0


def test_interrupt_keeps_the_runs_that_are_finished(tmp_path: Path) -> None:
    # Enough seeds that some are left when the first one is there.
    command = [*PROGRAM, *TOY, "--seeds", "200", "--out", str(tmp_path)]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # A test run in the background is told to ignore the signal, and its children are with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    told = ""
    try:
        until = time.monotonic() + 120
        while not list(tmp_path.glob("*/cells/[!.]*/run.json")) and time.monotonic() < until:
            time.sleep(0.1)
        for _ in range(20):
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                _, told = process.communicate(timeout=15)
                break
    finally:
        process.kill()
    assert process.returncode == 130
    assert "runs that were finished are whole" in told
    (folder,) = tmp_path.iterdir()
    assert not (folder / "run.json").exists()
    rows = run_rows(folder)
    assert 0 < len(rows) < 200
    assert {row["status"] for row in rows} == {"finished"}
    assert not list(folder.glob("cells/.*"))

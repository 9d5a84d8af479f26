"""Section of a page on what happened over time: of a series alone, and of the training before an analysis."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import critlearn as cl
from critlearn.cli.main import app, exit_code
from critlearn.monitoring import MonitorRecord
from critlearn.monitoring.updates import UpdateSeries
from critlearn.reports.dynamics_section import training_section
from critlearn.reports.page import illustrations, report_page
from reference.small_runs import two_class_run
from shape_checker import switched_off


@cache
def followed() -> MonitorRecord:
    """Record of 400 steps of gradient descent on a line."""
    torch.manual_seed(0)
    x, t = torch.randn(200, 2), torch.where(torch.rand(200) < 0.5, 1.0, -1.0)
    network = torch.nn.Linear(2, 1)
    system = cl.NeuralSystem(network, cl.Composition("sigmoid", "bce"), torch.utils.data.TensorDataset(x, t))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with cl.Monitor(system, optimizer, every=400) as monitor:
        for chosen in torch.randint(200, (400, 8)):
            optimizer.zero_grad()
            torch.nn.functional.softplus(-t[chosen] * network(x[chosen])[:, 0]).mean().backward()
            optimizer.step()
            monitor.step()
    return monitor.record


def test_the_page_of_an_analysis_has_a_section_on_its_training(tmp_path: Path) -> None:
    analysis = two_class_run()
    small = replace(
        analysis, record={**analysis.record, "quantities": dict(list(analysis.record["quantities"].items())[:1])}
    )
    text = cl.report(small, tmp_path / "page.html", training=followed()).read_text()
    section = text[text.index("<h2>Over time</h2>") : text.index("<h2>Methods</h2>")]
    assert "Series of 3 variables over all 400 steps of a training" in section
    assert str(followed().dynamics().criticality) in section.lower()
    assert "Tails of increments through training" in section
    assert "Over time" not in report_page(small.record, small.fluctuations)
    assert [item.name for item in illustrations(small.record, small.fluctuations, followed())["over time"]] == [
        "dynamics",
        "dynamics-increments",
    ]


def test_a_record_in_the_folder_of_a_run_is_a_section_of_its_page(tmp_path: Path) -> None:
    run = tmp_path / "run"
    cl.save(two_class_run(), run)
    assert "<h2>Over time</h2>" not in (run / "report.html").read_text()
    cl.save(followed(), run / "monitor.safetensors")
    assert exit_code(app, ["report", str(run)]) == 0
    assert "<h2>Over time</h2>" in (run / "report.html").read_text()


def test_a_series_of_few_steps_says_why_it_says_nothing() -> None:
    series = followed().series
    values = {name: part[:50] for name, part in series.values.items()}
    short = replace(followed(), series=UpdateSeries(series.entries, values, series.steps[:50]))
    section = training_section(short)
    assert section.series is None
    assert "at least 100 time steps; got 50" in section.reason
    assert [item.name for item in section.pictures] == ["dynamics-increments"]
    empty = replace(followed(), series=UpdateSeries(), increments=())
    assert training_section(empty).pictures == []


def test_a_sheet_is_a_page_of_its_own(tmp_path: Path) -> None:
    sheet = followed().dynamics()
    text = cl.report(sheet, tmp_path / "sheet.html").read_text()
    assert text.startswith("<!doctype html>")
    assert f"<td>{sheet.observed.avalanches.count:,}</td>" in text
    with pytest.raises(cl.CritlearnError, match=r"goes with an Analysis"):
        cl.report(sheet, tmp_path / "sheet.html", training=followed())
    # Users have no type checker.
    with switched_off(), pytest.raises(cl.CritlearnError, match=r"an Analysis, or a Dynamics .*; got ndarray"):
        cl.report(np.zeros(3), tmp_path / "sheet.html")  # type: ignore[arg-type]

"""Page of the atlas: five sentences that the table supports, its figure, and the road from a study to the page."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from critlearn.cli.main import app, exit_code
from critlearn.errors import DataError
from critlearn.figures.illustration import drawn_data
from critlearn.reports.experiments.atlas import atlas_figure, findings, weights_table, write_atlas
from critlearn.studies import Study
from critlearn.studies.sweep.results.store import ResultsStore
from critlearn.studies.sweep.study.reading import load_studies
from critlearn.studies.sweep.study.schema import shipped_file
from shape_checker import switched_off


def _row(family: str, activation: str, place: int, exponent: float | None, **more: Any) -> dict[str, Any]:
    return {
        "family": family, "activation": activation, "seed": 0, "place": place, "quantity": f"layer{place}.weight",
        "status": "EQUILIBRIUM", "exponent": exponent, "decades": 2.0, "predicted_exponent": exponent,
        "verdict": "power law" if exponent is not None else "too few data", "agreement": "agrees", **more,
    }  # fmt: skip


ROWS = pd.DataFrame(
    [
        _row("net:one", "tanh", 1, 1.0),
        _row("net:one", "tanh", 2, 1.5, predicted_exponent=1.7, agreement="disagrees"),
        _row("net:one", "relu", 1, 1.2),
        _row("net:one", "relu", 2, 0.8, verdict="compatible", agreement="cannot tell"),
        _row("net:other", "tanh", 1, 3.0, status="drifting"),
        _row("net:other", "tanh", 2, -12.0, status="drifting", verdict="rejected"),
        _row("net:other", "relu", 1, None, predicted_exponent=None, agreement=None),
    ]
)


def test_five_sentences_are_counted_from_the_table() -> None:
    grades, span, differences, depth, predictions = findings(ROWS)
    assert grades == (
        "Of 7 distributions of weights' fluctuations in 4 networks (3 equilibrium, 1 drifting) 4 follow a power law "
        "over some window, 1 more are compatible with one, and 2 follow none."
    )
    # 0.8, 1.0, 1.2, 1.5, 3.0: what was rejected does not count.
    assert "from 0.80 to 3.00, with half of them between 1.00 and 1.50 and a median of 1.20" in span
    # Activations: |1.0 - 1.2| and |1.5 - 0.8|; layers: 0.5 and 0.4; medians of families: 1.1 and 3.0.
    assert "by 0.45 between hidden activations" in differences
    assert "by 0.45 between layers of one network" in differences
    assert "by 1.90 between the medians of two families" in differences
    assert "rises in 1 of 2 networks and falls in 1, by 0.45 in the median" in depth
    assert predictions.startswith("6 of 7 are predicted: 4 agree, 1 disagree, 1 cannot be told;")
    assert predictions.endswith("exponents are 0.00 apart in the median.")


def test_sentences_of_a_table_without_exponents_are_sentences() -> None:
    told = findings(ROWS[ROWS["exponent"].isna()])
    assert len(told) == 5
    assert all(sentence.endswith(".") and "nan" not in sentence for sentence in told)


def test_the_figure_has_a_panel_for_each_family_and_nothing_that_is_not_claimed() -> None:
    figure = atlas_figure(ROWS)
    assert isinstance(figure, Figure)
    assert [axes.get_title() for axes in figure.axes] == ["One", "Other"]
    drawn = drawn_data(figure)
    assert drawn["y"].min() == 0.8
    assert len(drawn[drawn["series"] == "tanh"]) == 3


@pytest.mark.usefixtures("without_shape_checker")
def test_a_study_becomes_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        '''
from torch import nn

def small(hidden_activation="tanh"):
    """Dense network of the test."""
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()
'''
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(
        'name: atlas\nsystem: {kind: network, network: "mine.py:small", loss: bce, hidden_activation: tanh}\n'
        "data: {data: moons}\ntraining: {epochs: 2}\nmeasure: {modes: false}\n"
    )
    studies = load_studies(tmp_path / "study.yaml")
    ResultsStore("store", create=True).register(studies[0], ())
    with pytest.raises(DataError, match="no finished cell"):
        write_atlas(studies, "store", tmp_path / "page", "command")
    assert not (tmp_path / "page").exists()
    with switched_off():
        assert exit_code(app, ["sweep", "study.yaml", "--store", "store"]) == 0
    # From the input to the output.
    assert weights_table(studies, "store")["quantity"].tolist() == ["0.weight", "2.weight"]
    page = write_atlas(studies, "store", tmp_path / "page", "critlearn reproduce atlas").read_text()
    assert "Made by `critlearn reproduce atlas`" in page
    assert "## Small\n\nDense network of the test. 17 trainable variables" in page
    assert len(re.findall(r"^\| tanh \| \w", page, re.MULTILINE)) == 2
    assert re.search(r"^5\. ", page, re.MULTILINE)
    assert (tmp_path / "page" / "images" / "atlas.svg").is_file()
    assert (tmp_path / "page" / "images" / "atlas.csv").is_file()


def test_shipped_atlases_have_all_families() -> None:
    whole, quick = (load_studies(shipped_file(name)) for name in ("atlas", "atlas-quick"))
    families = [[row["network"] for row in study.sweep.list or ()] for study in (*whole, *quick)]
    assert isinstance(whole[0], Study)
    assert families[0] == families[1]
    assert len(set(families[0])) == 7

"""Ensembles: members equal single runs, pools hold all samples, and what is not at equilibrium is left out."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from critlearn.analysis import Analysis
from critlearn.analysis.run_folder import read_analysis, run_folders
from critlearn.errors import InvalidInputError
from critlearn.numerics.log_sketch import LogSketch
from critlearn.studies import ToyConfig, TwoClassConfig, load_results, run_ensemble, run_toy
from critlearn.studies.ensemble.pooling import pool
from critlearn.studies.runs.listing import run_rows

CONFIG = ToyConfig(samples=5000, epochs=60, batch_size=1000, lr=0.1, seed=4)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> tuple[Analysis, Path]:
    """Ensemble of three seeds, and its folder."""
    pooled = run_ensemble(CONFIG, 3, tmp_path_factory.mktemp("runs"))
    return pooled, Path(pooled.record["run_dir"])


def test_members_are_the_single_runs(ensemble: tuple[Analysis, Path]) -> None:
    pooled, folder = ensemble
    members = {member.record["seed"]: member for member in map(read_analysis, run_folders(folder))}
    assert sorted(members) == [4, 5, 6]
    assert all(member.modes is not None for member in members.values())
    assert pooled.modes is None
    assert "cannot be pooled" in pooled.record["no_modes"]
    alone = run_toy(CONFIG.model_copy(update={"seed": 5}))
    same = {**members[5].record, "seconds": 0.0, "run_dir": None}
    # Sizes and hashes of what was written.
    del same["files"]
    assert same == {**alone.record, "seconds": 0.0}
    assert all(members[5].fluctuations[name] == alone.fluctuations[name] for name in alone.fluctuations)
    for name in ("bias", "weight"):
        assert pooled.fluctuations[name] == LogSketch.pooled([members[seed].fluctuations[name] for seed in members])
    assert pooled.fluctuations.samples == 15_000


def test_folder_is_a_run_and_a_store(ensemble: tuple[Analysis, Path]) -> None:
    pooled, folder = ensemble
    assert [row["run"] for row in run_rows(folder.parent)] == [folder.name]
    assert len(run_rows(folder)) == 3
    assert sorted(load_results(str(folder))["seed"].unique()) == [4, 5, 6]
    stored = read_analysis(folder)
    assert stored.record == pooled.record
    assert stored.record["config"] == {**CONFIG.model_dump(mode="json"), "seeds": 3}
    assert [path.name for path in folder.iterdir() if path.name.startswith(".") and path.name != ".lock"] == []


def test_table_and_record_have_the_spread(ensemble: tuple[Analysis, Path]) -> None:
    pooled, _ = ensemble
    for name, row in zip(("bias", "weight"), pooled.table.to_dict("records"), strict=True):
        found = pooled.record["quantities"][name]["ensemble"]
        exponents = np.array(found["exponents"])
        assert found["mean"] == pytest.approx(exponents.mean())
        assert (row["seeds"], row["seed_sd"]) == (len(found["seeds"]), pytest.approx(exponents.std(ddof=1)))
        assert found["ci95"][0] < found["mean"] < found["ci95"][1]
        assert row["predicted_exponent"] == pytest.approx(row["exponent"], abs=0.1)
        assert row["n"] == 5000 * row["seeds"]
    assert "seeds" not in run_toy(CONFIG).table.columns


@pytest.mark.parametrize(("certified", "pooled_seeds"), [((1, 0, 1), [4, 6]), ((0, 0, 0), [4, 5, 6])])
def test_what_is_not_at_equilibrium_is_left_out_and_named(
    ensemble: tuple[Analysis, Path], certified: tuple[int, ...], pooled_seeds: list[int]
) -> None:
    members = sorted(map(read_analysis, run_folders(ensemble[1])), key=lambda member: member.record["seed"])
    states = [{"certified": bool(yes), "status": "EQUILIBRIUM" if yes else "DRIFTING"} for yes in certified]
    changed = []
    for member, state in zip(members, states, strict=True):
        record = copy.deepcopy(member.record)
        record["equilibrium"] |= state
        changed.append(replace(member, record=record))
    record = pool(changed).record
    assert record["quantities"]["bias"]["ensemble"]["seeds"] == pooled_seeds
    assert record["equilibrium"]["certified"] is any(certified)
    assert f"{sum(certified)} of 3 seeds are at equilibrium" in record["equilibrium"]["reason"]
    assert "seed 5 (DRIFTING)" in record["equilibrium"]["reason"]
    assert record["config"]["seeds"] == 3


@pytest.mark.parametrize(
    ("config", "seeds", "words"),
    [
        (CONFIG, 0, "must be 1 to 1000; got 0"),
        (CONFIG, 1001, "got 1001"),
        (CONFIG.model_copy(update={"seed": 2**31 - 2}), 3, "--seed"),
        (TwoClassConfig(data="nowhere.csv"), 2, "no such file"),
        (TwoClassConfig(activation="softsing"), 2, 'did you mean "softsign"'),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    tmp_path: Path, config: ToyConfig, seeds: int, words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        run_ensemble(config, seeds, tmp_path)
    assert list(tmp_path.iterdir()) == []

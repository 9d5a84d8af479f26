"""Training of an ensemble: one run for each seed, in processes of one thread, kept as a store of results."""

import os
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from critlearn.analysis.analysis import Analysis
from critlearn.analysis.road import Progress
from critlearn.analysis.run_folder import CELLS, fresh_folder, read_analysis, write_into
from critlearn.errors import InvalidInputError
from critlearn.studies.config import RunConfig, checked
from critlearn.studies.ensemble.pooling import pool
from critlearn.studies.sweep.engines.local import run_locally
from critlearn.studies.sweep.run import sweep
from critlearn.studies.sweep.study.cells import kind_of_config
from critlearn.studies.sweep.study.preflight import check_devices
from critlearn.studies.sweep.study.schema import DataPart, MeasurePart, Study, SystemPart, TrainingPart

MOST_SEEDS: Final = 1000
"""Networks of an ensemble: their mean is known thirty times better than one of them, and more is a slip of the pen."""


def run_ensemble(config: RunConfig, seeds: int, out: Path | str = "runs", progress: Progress | None = None) -> Analysis:
    """Run the same settings with several seeds, as many at a time as there are processors, and pool what they find.

    The runs are those of single calls with the seeds ``config.seed``, ``config.seed + 1``, ... They are kept in
    ``cells`` of a new folder, with a study file; the pooled analysis is the run of that folder, which its record names
    under ``run_dir``. After Ctrl-C the runs that are finished are there, and sweeping the study file adds the others.

    Parameters
    ----------
    config
        Settings of the first run.
    seeds
        Number of runs.
    out
        Folder in which that of the ensemble is made.
    progress
        Called with the stage, what is done of it, and what there is to do.

    Raises
    ------
    InvalidInputError
        If the number is out of range, a setting cannot be used, or no run could be finished.
    OutputError
        If something cannot be written.
    """
    if not 1 <= seeds <= MOST_SEEDS:
        raise InvalidInputError(f"the number of seeds must be 1 to {MOST_SEEDS}; got {seeds}")
    started = time.perf_counter()
    study = _study(config, seeds)
    check_devices(study)
    folder = fresh_folder(Path(out), study.system.kind, config.title, f"{study.seeds[0]}-{study.seeds[-1]}")
    tell: Progress = progress or (lambda stage, done, total: None)
    tell("seeds", 0, seeds)
    finished, failed = {}, {}
    engine = partial(run_locally, processes=min(seeds, _processors()))
    for number, (cell, reason) in enumerate(sweep(study, str(folder), engine), 1):
        if reason is None:
            finished[cell.config.seed] = read_analysis(folder / CELLS / cell.name)
        else:
            failed[cell.config.seed] = reason
        tell("seeds", number, seeds)
    if not finished:
        raise InvalidInputError(f"no run of the ensemble could be finished: {next(iter(failed.values()))}")
    pooled = pool([finished[seed] for seed in sorted(finished)], tell)
    # Settings are those that were asked for, whatever became of them.
    pooled.record["config"] |= {"seed": config.seed, "seeds": seeds}
    if failed:
        told = ", ".join(f"seed {seed} ({reason})" for seed, reason in sorted(failed.items()))
        pooled.record["equilibrium"]["reason"] += f"; not finished: {told}"
    pooled.record.update(run_dir=str(folder), seconds=time.perf_counter() - started)
    pooled.record.update(write_into(folder, pooled))
    return pooled


def _study(config: RunConfig, seeds: int) -> Study:
    """Study of the same settings with several seeds."""
    settings = config.model_dump()
    last = config.seed + seeds - 1
    checked(type(config), {**settings, "seed": last})
    parts: dict[str, Any] = {
        name: {key: settings[key] for key in part.model_fields if key in settings}
        for name, part in (
            ("system", SystemPart),
            ("data", DataPart),
            ("training", TrainingPart),
            ("measure", MeasurePart),
        )
    }
    parts["system"]["kind"] = kind_of_config(config)
    return Study.model_validate({"name": "ensemble", **parts, "seeds": range(config.seed, last + 1)})


def _processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)

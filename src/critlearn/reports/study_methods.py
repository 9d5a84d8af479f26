"""Methods of many runs for their page: every setting, those that all runs share and those that differ, and commands."""

import shlex
from collections.abc import Iterable
from typing import Any, Final

from critlearn.comparison import MARGIN
from critlearn.reports.page import command_of
from critlearn.studies.runs.methods import Methods
from critlearn.studies.sweep.study.conditions import in_one_field

_MOST_VALUES: Final = 12


def methods_section(methods: Methods) -> dict[str, Any]:
    """What the template of the page needs.

    Returns
    -------
    dict
        ``settings``, ``versions``: name and values; ``tolerances``; ``margin`` of agreement; ``files``: command, path
        and text of each study file; ``commands`` that make runs again one by one, where there is no study file;
        ``report``: command that makes the page again.
    """
    runs = methods.runs
    names = dict.fromkeys(name for run in runs for name in run.config)
    packages = dict.fromkeys(name for run in runs for name in run.versions)
    systems = [("system", _told(run.study for run in runs))]
    quoted = [
        (path, text, shlex.join(["critlearn", "sweep", path, "--store", "again"]))
        for path, text in methods.study_files.items()
    ]
    return {
        "settings": systems + [(name, _told(run.config.get(name) for run in runs)) for name in names],
        "versions": [(name, _told(run.versions[name] for run in runs if name in run.versions)) for name in packages],
        "tolerances": _told(run.tolerance for run in runs if run.tolerance is not None),
        "margin": MARGIN,
        "files": quoted,
        "commands": [] if quoted else [command_of({"study": run.study, "config": run.config}) for run in runs],
        "report": shlex.join(["critlearn", "report", methods.place]),
    }


def _told(values: Iterable[Any]) -> str:
    """Different values in words: all if they are few, else how many there are and between which."""
    found = list(dict.fromkeys(in_one_field(value) for value in values))
    if found and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in found):
        found.sort()
        if len(found) > _MOST_VALUES:
            return f"{len(found)} values from {found[0]:g} to {found[-1]:g}"
    shown = ", ".join(_name(value) for value in found[:_MOST_VALUES])
    return shown if len(found) <= _MOST_VALUES else f"{shown}, … {len(found)} in all"


def _name(value: Any) -> str:
    if value is None or value == "":
        return "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)

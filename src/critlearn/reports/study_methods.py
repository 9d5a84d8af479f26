"""Methods section of the page of many runs: every setting, shared or swept, versions, and commands."""

import shlex
from collections.abc import Iterable
from typing import Any, Final

from critlearn.reports.explanation import OUTCOMES
from critlearn.reports.page import command_of
from critlearn.studies.runs.methods import Methods
from critlearn.studies.sweep.study.conditions import in_one_field

_MOST_VALUES: Final = 12
"""Values of a setting that are listed; of more their number and range are given."""


def methods_section(methods: Methods) -> dict[str, Any]:
    """Values for the template of the page.

    Returns
    -------
    dict
        ``settings``, ``versions``: names and values; ``tolerances``; ``outcomes`` of comparisons; ``files``: command,
        path and text of each study file; ``commands`` that repeat runs one by one, where there is no study file;
        ``report``: command that makes the page again.
    """
    runs = methods.runs
    names = dict.fromkeys(name for run in runs for name in run.config)
    packages = dict.fromkeys(name for run in runs for name in run.versions)
    systems = [("system", _values_text(run.study for run in runs))]
    quoted = [
        (path, text, shlex.join(["critlearn", "sweep", path, "--store", "again"]))
        for path, text in methods.study_files.items()
    ]
    return {
        "settings": systems + [(name, _values_text(run.config.get(name) for run in runs)) for name in names],
        "versions": [
            (name, _values_text(run.versions[name] for run in runs if name in run.versions)) for name in packages
        ],
        "tolerances": _values_text(run.tolerance for run in runs if run.tolerance is not None),
        "outcomes": OUTCOMES,
        "files": quoted,
        "commands": [] if quoted else [command_of({"study": run.study, "config": run.config}) for run in runs],
        "report": shlex.join(["critlearn", "report", methods.location]),
    }


def _values_text(values: Iterable[Any]) -> str:
    """Different values as text: all of a few, else their number and range."""
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

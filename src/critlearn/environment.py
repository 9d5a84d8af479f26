"""State of the environment: versions, threads, accelerator, precision, and whether results can be written."""

import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from critlearn._version import __version__
from critlearn.compositions import Composition
from critlearn.errors import MissingPackageError, OutputError
from critlearn.results import Result
from critlearn.whole_files import check_writable

_NUMERICAL: Final = ("torch", "numpy", "scipy", "sympy", "scikit-learn", "arviz-stats")
"""Packages that the numbers of a run depend on: their versions stand in its record."""

_OTHERS: Final = ("matplotlib", "mpmath", "numba", "pandas", "pyarrow", "pydantic", "typer")
"""Packages whose versions only the check of an installation tells."""

_EXTRAS: Final = {
    "explore": "streamlit",
    "lightning": "lightning",
    "ray": "ray",
    "transformers": "transformers",
    "docs": "mkdocs",
    "test": "pytest",
}
"""A package of each optional extra (torch has a line of its own), by which one sees whether it is installed."""

_FAR: Final = 40.0
"""Margin at which ordinary double-precision gradients of the cross-entropy are zero."""

_ERROR_FAR: Final = -4.248354255291589e-18
"""Error of the cross-entropy behind a sigmoid at that margin: ``-1 / (1 + exp(40))``."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    name
        What.
    ok
        Whether critlearn can work with it.
    finding
        What was found.
    advice
        What to do, where something is wrong; empty otherwise.
    """

    name: str
    ok: bool
    finding: str
    advice: str = ""


@dataclass(frozen=True, repr=False)
class Environment(Result):
    """What an installation of critlearn has to work with.

    Parameters
    ----------
    checks
        What was looked at, one after the other.
    versions
        Of critlearn, Python and packages.
    """

    checks: tuple[Check, ...]
    versions: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(check.ok for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        checks = {
            check.name: {"ok": check.ok, "finding": check.finding, "advice": check.advice} for check in self.checks
        }
        return {"ok": self.ok, "versions": self.versions, "checks": checks}

    def summary(self) -> str:
        """One line for each check, with the advice below what is wrong."""
        lines = []
        for check in self.checks:
            lines.append(f"{'ok      ' if check.ok else 'problem '}{check.name:<12} {check.finding}")
            if check.advice:
                lines.append(f"{'':21}{check.advice}")
        return "\n".join(lines)


def examine(out: Path) -> Environment:
    """Look at the environment; nothing of it is changed.

    Parameters
    ----------
    out
        Folder into which runs are to be written.
    """
    found = _versions_of((*_NUMERICAL, *_OTHERS))
    checks = (_python(found), _threads(), _accelerator(), _precision(), _store(out), _extras())
    return Environment(checks, found)


def versions() -> dict[str, str]:
    """Versions of critlearn, Python, and the packages that the numbers depend on."""
    return _versions_of(_NUMERICAL)


def _versions_of(packages: tuple[str, ...]) -> dict[str, str]:
    found = {"critlearn": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _torch() -> Any | None:
    """PyTorch; None where it is not installed."""
    try:
        from critlearn._torch import torch
    except MissingPackageError:
        return None
    return torch


def _python(found: dict[str, str]) -> Check:
    names = ("critlearn", "python", "torch", "numpy")
    told = ", ".join(f"{name} {found[name]}" for name in names if name in found)
    return Check("versions", sys.version_info >= (3, 11), f"{told} on {platform.system()} {platform.machine()}")


def _threads() -> Check:
    import numba

    torch = _torch()
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    threads = 1 if torch is None else torch.get_num_threads()
    used = f"numba {numba.get_num_threads()}" if torch is None else f"torch {threads}, numba {numba.get_num_threads()}"
    finding = f"{used}, of {available} processors"
    if threads > available:
        return Check("threads", False, finding, f"set OMP_NUM_THREADS={available}: more threads than processors wait")
    return Check("threads", True, finding)


def _accelerator() -> Check:
    torch = _torch()
    if torch is None:
        finding = "not looked for: PyTorch is not installed; fit, predict, design and table need none"
        return Check("GPU", True, finding, 'to train and measure: pip install "critlearn[torch]"')
    if not torch.cuda.is_available():
        return Check("GPU", True, "none that torch can use; runs use the processor (--device cpu)")
    properties = torch.cuda.get_device_properties(0)
    memory = properties.total_memory / 2**30
    finding = f"{torch.cuda.device_count()} x {properties.name}, {memory:.0f} GiB (--device cuda)"
    return Check("GPU", True, finding)


def _precision() -> Check:
    """See that tails are what they should be: subnormal numbers are kept, and errors do not cancel."""
    torch = _torch()
    if torch is None:
        library, default = "numpy", "float64"
        tiny, margin = np.array(5e-324), np.array(_FAR)
    else:
        library, default = "torch", str(torch.get_default_dtype()).removeprefix("torch.")
        tiny, margin = (torch.tensor(number, dtype=torch.float64) for number in (5e-324, _FAR))
    subnormal = bool((tiny * 1.0 > 0).all())
    error = Composition("sigmoid", "bce").output_error(margin, 1)
    exact = abs(float(error) / _ERROR_FAR - 1) < 1e-12
    finding = f"default {default}; error at margin {_FAR:g} {'exact' if exact else 'WRONG'}"
    finding += f"; subnormal numbers {'kept' if subnormal else 'flushed to zero'}"
    if not exact:
        return Check("precision", False, finding, f"the exponential of {library} is not accurate here: reinstall it")
    if not subnormal:
        advice = "call torch.set_flush_denormal(False): sizes below 1e-308 read as exact zeros"
        return Check("precision", False, finding, advice)
    return Check("precision", True, finding)


def _store(out: Path) -> Check:
    try:
        check_writable(out)
    except OutputError as problem:
        return Check("store", False, str(problem), "choose another folder with --out")
    return Check("store", True, f'runs can be written to "{out}"')


def _extras() -> Check:
    there = [name for name, module in _EXTRAS.items() if find_spec(module) is not None]
    missing = [name for name in _EXTRAS if name not in there]
    told = f"installed: {', '.join(there) or 'none'}"
    return Check("extras", True, f"{told}; not installed: {', '.join(missing)}" if missing else told)

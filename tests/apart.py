"""Tests in a process of their own, for libraries whose native code may kill the process that uses them."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest


def run_tests_apart(file: Path, folder: Path, *, seconds: float = 600.0) -> None:
    """Run the tests of a file in a child process; fail with what it printed if one of them fails.

    A child that dies, and so leaves no report, is started once more, with a warning. A test that fails is not: the exit
    status cannot tell the two apart, as native code may end its process with status 1 as well.

    Parameters
    ----------
    file
        File with the tests; its name need not begin with ``test_``.
    folder
        Folder for the child's report.
    seconds
        Time that the child has.
    """
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", f"--junitxml={report}"]
    environment = os.environ | {"PYTEST_ADDOPTS": ""}
    for attempt in ("first", "second"):
        child = subprocess.run(
            [*command, str(file)], capture_output=True, text=True, timeout=seconds, env=environment, check=False
        )
        printed = f"{child.stdout[-12000:]}\n{child.stderr[-6000:]}"
        if report.exists():
            if child.returncode:
                pytest.fail(f"tests of {file.name} failed, in a process of their own:\n{printed}", pytrace=False)
            return
        warnings.warn(
            f"the {attempt} process of {file.name} died (status {child.returncode}):\n{printed}", stacklevel=2
        )
    pytest.fail(f"the process of {file.name} died twice (status {child.returncode}):\n{printed}", pytrace=False)

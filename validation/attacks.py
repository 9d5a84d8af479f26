"""Attacks of each kind that the tests try, counted: writes ``docs/attacks.md``.

python validation/attacks.py
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from critlearn.whole_files import write_whole

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "attacks.md"

KINDS: Final = (
    (
        "a page of the web that asks the explorer",
        ("explorer/test_local_only.py",),
        "403 before anything is done: foreign names and origins, by web socket too; twelve sessions at once are served",
    ),
    (
        "YAML: aliases, depth, tags, numbers, dates",
        ("reading/test_yaml_text.py::hostile", "studies/sweep/study/test_reading.py::nested|hostile"),
        "one line with the line of the file, at once; nothing is expanded",
    ),
    (
        "numbers and towers of powers in expressions",
        ("numerics/test_expression_grammar.py::constants|towers|refused",),
        "bounded while they are parsed, at 1000 digits",
    ),
    ("JSON: depth, numbers, names", ("reading/test_json_text.py",), "one line"),
    (
        "sizes: columns, names, archives, arrays, holes",
        ("reading/test_sizes.py", "cli/test_fit.py::archives"),
        "counted before they are made; the message names the format that is read at any size",
    ),
    ("tables", ("reading/test_csv_table.py",), "one line, or the table"),
    (
        "records of runs and cells",
        ("studies/sweep/results/test_corrupt_cells.py", "cli/test_runs.py::corrupt", "analysis/test_run_folder.py"),
        "a bad one is named and skipped, and keeps no other one from being listed",
    ),
    (
        "code in a record",
        ("studies/runs/test_system.py::trusted|larger",),
        "is run only with `--trust`; no network is built that is larger than its weights",
    ),
    (
        "terminal: escape sequences, encodings, full and closed output, names, folders that are gone, `sys.exit`",
        ("cli/test_terminal.py",),
        "control characters written out; exit 1 or 2 with one line",
    ),
    (
        "places of results",
        ("studies/sweep/results/test_files.py", "test_whole_files.py"),
        "archives, hosts and caches are refused before anything is opened; files are whole, with the user's rights",
    ),
    (
        "processes: killed, interrupted, forked, two at once; disks that are full or take nothing",
        (
            "scenarios_of_ended_work.py",
            "cli/test_written_files.py",
            "studies/sweep/test_killed_sweep.py",
            "fluctuations/test_accumulator.py::interrupt|checkpoint|cannot_be_written",
            "studies/sweep/engines/test_ray.py::raylet",
            "test_concurrency.py",
        ),
        "what is finished stays, nothing is torn, the rest goes on when it is started again",
    ),
    (
        "memory of a measurement",
        ("fluctuations/test_batches.py::memory",),
        "told before it starts, with the size that fits",
    ),
)
"""What is attacked, the files of tests (with a pattern of the tests in it), and what happens."""


def cases() -> list[str]:
    """Names of all cases of the tests, with their parameters."""
    files = sorted({str(ROOT / "tests" / where.partition("::")[0]) for _, places, _ in KINDS for where in places})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return [line for line in done.stdout.splitlines() if "::" in line]


def tried(place: str, found: list[str]) -> int:
    """Number of cases of a file of tests, of those with a pattern in their name if there is one."""
    file, _, pattern = place.partition("::")
    own = [name.partition("::")[2].partition("[")[0] for name in found if name.startswith(f"tests/{file}::")]
    number = sum(re.search(pattern, name) is not None for name in own)
    assert number, f"no test of {place}"
    return number


def main() -> None:
    """Count, and write the page."""
    found = cases()
    rows = [(kind, sum(tried(place, found) for place in places), told) for kind, places, told in KINDS]
    files = re.search(r"([\d,]+) commands on ([\d,]+) files", (ROOT / "docs" / "hostile_files.md").read_text())
    assert files is not None
    lines = [
        "# Attacks",
        "",
        "What the tests try against critlearn, by kind, each with its siblings. Counted by "
        f"`python validation/attacks.py`: {sum(number for _, number, _ in rows):,} cases. Beside them stand "
        f"{files[1]} commands on {files[2]} [mutated files](hostile_files.md), and work that is "
        "[killed](killed_sweeps.md) at random moments. None of them runs code, hangs, or ends in a traceback.",
        "",
        "| kind | cases | what happens |",
        "| --- | --- | --- |",
        *(f"| {kind} | {number} | {told} |" for kind, number, told in rows),
        "",
        "What is code and what is data: [the trust boundary](security.md).",
        "",
    ]
    write_whole(PAGE, "\n".join(lines).encode())


if __name__ == "__main__":
    main()

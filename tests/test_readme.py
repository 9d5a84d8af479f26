"""The README's example runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_python_example_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(example.splitlines()) <= 26
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    exponent, state, statement = done.stdout.strip().splitlines()
    assert exponent.startswith("kappa = 4/3")
    assert state.startswith("at equilibrium")
    assert statement.startswith("Fluctuations of the output bias are compatible with delta^-1.1")
    assert statement.endswith("; consistent.")

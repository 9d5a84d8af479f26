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
    lines = done.stdout.splitlines()
    assert lines[0].split(":")[0] in ("EQUILIBRIUM", "DRIFTING", "SADDLE")
    rows = {line.split()[0]: line for line in lines[2:] if line.strip()}
    assert {"2.bias", "2.weight", "0.bias", "0.weight", "all"} <= set(rows)
    # The error signal of sigmoid and cross-entropy is the logistic function: 5,000 samples, none of them zero.
    assert rows["2.bias"].split()[1:3] == ["5,000", "0"]
    assert "margin" in done.stdout
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")

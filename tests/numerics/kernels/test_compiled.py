"""Machine code that is kept on disk follows the kernels of other files that it holds."""

import os
import subprocess
import sys
from pathlib import Path

INNER = """
from critlearn.numerics.kernels.compiled import compiled

@compiled
def inner(x):
    return x + {added}
"""

OUTER = """
from critlearn.numerics.kernels.compiled import compiled
from {inner} import inner

@compiled
def outer(x):
    return 10 * inner(x)
"""


def _called(folder: Path) -> int:
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-c", "from outer_kernel import outer; print(outer(1))"]
    return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def test_a_change_of_another_file_is_noticed(tmp_path: Path) -> None:
    inner = tmp_path / "inner_kernel.py"
    inner.write_text(INNER.format(added=1))
    (tmp_path / "outer_kernel.py").write_text(OUTER.format(inner="inner_kernel"))
    assert _called(tmp_path) == 20
    kept = set((tmp_path / "cache").rglob("*.nbc"))
    assert _called(tmp_path) == 20
    assert set((tmp_path / "cache").rglob("*.nbc")) == kept
    inner.write_text(INNER.format(added=700))
    assert _called(tmp_path) == 7010

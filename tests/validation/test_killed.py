"""Work that is killed in the middle leaves nothing broken: a small part of the validation, in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_nothing_is_broken_by_kills(tmp_path: Path) -> None:
    """Two kills of an analysis and of a training; sweeps have a test of their own."""
    code = (
        "import sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(ROOT / 'validation')!r})\n"
        "import killed_sweeps as killed\n"
        "for work in (killed.analyzed, killed.trained):\n"
        f"    (place := Path({str(tmp_path)!r}) / work.__name__).mkdir()\n"
        "    print(*killed.killed_at_random(work, place, 2))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        # Files were there, nothing is broken, and the work that is started again ends whole.
        assert re.fullmatch(r"[012] [12] 0 True", line), line
    assert len(done.stdout.splitlines()) == 2

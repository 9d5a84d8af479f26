"""Memory that was freed is kept: asking for it again brings no new pages."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from critlearn.numerics.kernels.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [torch.ones(1_000_000) for _ in range(4)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "kept":
    keep_freed_memory()
faults()
print(faults(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="how glibc keeps memory")
def test_blocks_are_taken_from_what_was_freed() -> None:
    found = {}
    for kind in ("plain", "kept"):
        done = subprocess.run([sys.executable, "-c", SCRIPT, kind], capture_output=True, text=True, check=True)
        found[kind] = [int(part) for part in done.stdout.split()]
    # 4 blocks of 4 MB, 1,000 pages each, 20 times.
    assert found["kept"][0] < 1000
    # The block that glibc learns from is never written to.
    assert found["kept"][1] < found["plain"][1] + 16 * 1024

"""Threads that import at once, and processes that are forked after an import, in a fresh interpreter."""

import subprocess
import sys

CODE = """
import os, threading

found, problems = [], []

def first_use():
    try:
        start.wait()
        import critlearn
        found.append(critlearn.Composition("softsign", "mse"))
        critlearn.fit_power_law, critlearn.predict, critlearn.NeuralSystem, critlearn.Monitor
    except BaseException as problem:
        problems.append(problem)

start = threading.Barrier(8)
threads = [threading.Thread(target=first_use) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not problems, problems
assert len(found) == 8

import numpy as np
import critlearn

# Ends of a Pareto law with exponent 2.5, without noise: its quantiles.
sizes = (1 - (np.arange(2000) + 0.5) / 2000) ** (-1 / 1.5)
read, write = os.pipe()
if not os.fork():
    os.write(write, str(critlearn.fit_power_law(sizes).exponent).encode())
    os._exit(0)
assert os.wait()[1] == 0
forked = float(os.read(read, 100))
assert abs(forked - 2.5) < 0.05, forked
assert forked == critlearn.fit_power_law(sizes).exponent
"""


def test_threads_import_at_once_and_a_forked_process_fits() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr

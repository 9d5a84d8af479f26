"""Kernels on plain threads: every piece is done, in a forked child too, and a failure is told."""

import multiprocessing

import numpy as np
import pytest
import torch

from critlearn.numerics.kernels.threads import on_threads, threads


def _fill(target: np.ndarray, start: int, stop: int) -> None:
    target[start:stop] += np.arange(start, stop)


def _filled() -> bool:
    target = np.zeros(100)
    on_threads(_fill, [(target, start, start + 10) for start in range(0, 100, 10)])
    return bool((target == np.arange(100)).all())


def _exit_with_result() -> None:
    raise SystemExit(0 if _filled() else 1)


def test_every_piece_is_done_also_by_a_forked_child() -> None:
    assert _filled()
    child = multiprocessing.get_context("fork").Process(target=_exit_with_result)
    child.start()
    # The parent's threads are not there: without a pool of its own the child would wait for them.
    child.join(timeout=60)
    child.kill()
    assert child.exitcode == 0


def test_a_failure_in_a_piece_is_raised() -> None:
    with pytest.raises(TypeError):
        on_threads(_fill, [(np.zeros(3), 0, 3), (None, 0, 3)])


def test_no_more_threads_than_torch_uses() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert threads() == 1
    finally:
        torch.set_num_threads(before)

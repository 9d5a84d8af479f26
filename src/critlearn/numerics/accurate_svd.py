"""Singular values to high relative accuracy, however far apart: LAPACK's preconditioned Jacobi method.

The usual algorithms are exact to the largest singular value times 1e-16: of a matrix whose rows or columns span many
orders of magnitude they lose all small singular values. SciPy ships the Jacobi method without a Python function for it.
"""

import ctypes
from functools import cache
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float64
from numba.extending import get_cython_function_address


def accurate_singular_values(matrix: Float64[np.ndarray, "row column"]) -> Float64[np.ndarray, " value"]:
    """Singular values in descending order; those of ``D1 C D2`` are exact relative to each for any diagonal D1, D2.

    Source: Drmac and Veselic, SIAM J. Matrix Anal. Appl. 29, 1322 and 1343 (2008); LAPACK's dgejsv.

    >>> accurate_singular_values(np.array([[1.0, 1e-150], [0.0, 1e-200]])).tolist()
    [1.0, 1e-200]
    """
    rows, columns = matrix.shape
    # dgejsv wants at least as many rows as columns; the transposed matrix has the same singular values.
    if rows < columns:
        return accurate_singular_values(np.ascontiguousarray(matrix.T))
    largest = np.abs(matrix).max(initial=0.0)
    if columns == 0 or largest == 0:
        return np.zeros(columns)
    a = np.array(matrix / largest, dtype=np.float64, order="F")
    values = np.empty(columns)
    # At least what LAPACK asks for where no vectors are wanted.
    workspace = np.empty(max(7, 2 * rows + columns, 4 * columns + columns * columns, 6 * columns + 1))
    integers = np.empty(rows + 3 * columns + 3, dtype=np.intc)
    nothing, info = np.empty(1), ctypes.c_int(0)
    # F: rows and columns of any scale; N: no vectors, the whole range of numbers, no transposition, no perturbation.
    letters = [ctypes.c_char(letter) for letter in (b"F", b"N", b"N", b"N", b"N", b"N")]
    sizes = [ctypes.c_int(size) for size in (rows, columns, rows, 1, 1, workspace.size)]
    m, n, lda, ldu, ldv, lwork = (ctypes.byref(size) for size in sizes)
    arrays = [_pointer(array) for array in (a, values, nothing, nothing, workspace, integers)]
    a_at, values_at, u_at, v_at, workspace_at, integers_at = arrays
    _dgejsv()(
        *(ctypes.byref(letter) for letter in letters),
        *(m, n, a_at, lda, values_at, u_at, ldu, v_at, ldv, workspace_at, lwork, integers_at, ctypes.byref(info)),
    )
    if info.value:
        # It has not converged, or the matrix is not finite: the usual algorithm has its own answer to that.
        return np.asarray(scipy.linalg.svdvals(matrix))
    # dgejsv may have scaled the values against overflow; the first two numbers of its workspace say by how much.
    return values * (workspace[0] / workspace[1]) * largest


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@cache
def _dgejsv() -> Any:
    """The LAPACK function in the library that SciPy is linked with."""
    address = get_cython_function_address("scipy.linalg.cython_lapack", "dgejsv")
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 19)(address)

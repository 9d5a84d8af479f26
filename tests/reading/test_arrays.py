"""Arrays are read in silence, whoever wrote them."""

import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from critlearn.reading.arrays import mapped_array, read_array, read_arrays

VALUES = np.array([1.0, 2.0, 4.0, 8.0, 16.0])


def test_arrays_that_python_2_wrote_are_read_in_silence(tmp_path: Path) -> None:
    # Its long integers end in an L, which NumPy warns of.
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (5L,), }".ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + VALUES.tobytes()
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.warns(UserWarning, match="Python 2"):
        np.load(tmp_path / "a.npy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = [read_array(tmp_path / "a.npy"), mapped_array(tmp_path / "a.npy"), read_arrays(tmp_path / "a.npz")["a"]]
    for one in read:
        np.testing.assert_array_equal(one, VALUES)

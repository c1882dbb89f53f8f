"""Files are read for the arrays in them; what a file asks to have called is never called."""

from __future__ import annotations

import gzip
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ulterior.errors import InputError
from ulterior.tasks.images.formats import idx_array, pickled_arrays


class Touches:
    """Unpickled as usual, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mknod, (str(self.path),)


def written(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def test_a_pickle_that_calls_a_function_is_refused_and_nothing_is_called(tmp_path: Path) -> None:
    path, mark = written(tmp_path / "bad.pkl", Touches(tmp_path / "called")), tmp_path / "called"
    with pytest.raises(
        InputError, match=r"bad\.pkl' is not a pickle of plain numpy arrays: it names .*mknod"
    ):
        pickled_arrays(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())  # the file is as dangerous as this test believes
    assert mark.exists()


def test_a_call_that_hides_among_arrays_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "bad.pkl", [np.zeros(3), {"more": (Touches(tmp_path / "called"),)}])
    with pytest.raises(InputError, match="mknod"):
        pickled_arrays(path)
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize(
    "names", [b"cbuiltins\neval\n", b"cnumpy\nload\n", b"cnumpy.core.multiarray\nscalar\n"], ids=repr
)
def test_other_names_are_refused_numpys_own_too(tmp_path: Path, names: bytes) -> None:
    (tmp_path / "bad.pkl").write_bytes(names + b"(S'1'\ntR.")
    with pytest.raises(InputError, match="it names"):
        pickled_arrays(tmp_path / "bad.pkl")


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "objects.pkl", (1, [np.array([[], {}], dtype=object)]))
    with pytest.raises(InputError, match="Python objects"):
        pickled_arrays(path)


@pytest.mark.parametrize("protocol", [2, 4])
def test_arrays_come_back_to_the_bit_gzipped_or_not(tmp_path: Path, protocol: int) -> None:
    value = (np.arange(6, dtype=">i4").reshape(2, 3), [np.float32([0.1, np.nan])])
    # Under protocol 2 today's Python writes bytes as a call of a codec; the published file does not.
    written(tmp_path / "a.pkl", value, protocol=max(protocol, 3))
    (tmp_path / "a.pkl.gz").write_bytes(gzip.compress((tmp_path / "a.pkl").read_bytes()))
    for name in ("a.pkl", "a.pkl.gz"):
        integers, (floats,) = pickled_arrays(tmp_path / name)
        np.testing.assert_array_equal(integers, value[0])
        np.testing.assert_array_equal(floats, value[1][0])


def test_a_pickle_of_python_2_with_arrays_as_byte_strings_is_read(tmp_path: Path) -> None:
    raw = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x03\x85"
        b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x0c"
        + struct.pack("<3f", 1.5, -2, 0)
        + b"tb."
    )
    (tmp_path / "old.pkl").write_bytes(raw)
    np.testing.assert_array_equal(pickled_arrays(tmp_path / "old.pkl"), np.float32([1.5, -2, 0]))


@pytest.mark.parametrize("raw", [b"", b"no pickle", b"\x1f\x8bbroken"])
def test_a_file_that_is_no_pickle_is_named(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "x.pkl").write_bytes(raw)
    with pytest.raises(InputError, match=r"x\.pkl' is not a pickle of plain numpy arrays"):
        pickled_arrays(tmp_path / "x.pkl")


def idx(values: np.ndarray) -> bytes:
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def test_an_idx_file_is_read_gzipped_or_not(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "a").write_bytes(idx(values))
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(values)))
    np.testing.assert_array_equal(idx_array(tmp_path / "a"), values)
    np.testing.assert_array_equal(idx_array(tmp_path / "a.gz"), values)


def test_an_idx_file_that_is_cut_off_or_of_another_kind_is_named(tmp_path: Path) -> None:
    whole = idx(np.zeros((2, 3), np.uint8))
    for raw, why in (
        (whole[:-1], r"damaged: it says \(2, 3\), and holds 5 values"),
        (whole + b"x", "damaged"),
        (b"\0\0\x0d" + whole[3:], "not an IDX file of bytes"),
        (b"", "not an IDX file"),
    ):
        (tmp_path / "broken").write_bytes(raw)
        with pytest.raises(InputError, match=why):
            idx_array(tmp_path / "broken")
    with pytest.raises(InputError, match="cannot be read"):
        idx_array(tmp_path / "nowhere")

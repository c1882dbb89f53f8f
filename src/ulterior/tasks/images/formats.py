"""Reading the two formats in which small image data sets are published, trusting neither."""

from __future__ import annotations

import gzip
import math
import pickle
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from ulterior.errors import InputError

# Unsigned bytes, the only kind of IDX file that image data sets use.
_BYTES = 0x08
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
}


class _ArraysOnly(pickle.Unpickler):
    """Knows the four names that plain arrays need. They are looked up here and imported from nowhere."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, and arrays alone are read")
        return _ALLOWED[module, name]


def pickled_arrays(path: Path) -> Any:
    """Numbers, lists, tuples, dictionaries and numpy arrays from a pickle (gzipped or not).

    A pickle can name any function and have it called. This reader knows the constructors of plain arrays and refuses
    every other name before anything is called; arrays of Python objects are refused, too.

    Raises:
        InputError: no such file, another name in it, or no pickle at all.
    """
    try:
        with _opened(path) as file:
            value = _ArraysOnly(file, encoding="bytes").load()
    except Exception as error:  # a broken pickle raises whatever its bytes happen to mean
        raise InputError(f"'{path}' is not a pickle of plain numpy arrays: {error}") from error
    _refuse_objects(value, path)
    return value


def idx_array(path: Path) -> np.ndarray:
    """The array of bytes in an IDX file (gzipped or not), the format of MNIST: a magic number, sizes, values.

    Raises:
        InputError: no such file, another format, or fewer or more values than the sizes say.
    """
    try:
        with _opened(path) as file:
            raw = file.read()
    except (OSError, EOFError) as error:
        raise InputError(f"'{path}' cannot be read: {error}") from error
    axes = raw[3] if len(raw) > 3 else 0
    if raw[:3] != bytes((0, 0, _BYTES)) or not axes or len(raw) < 4 + 4 * axes:
        raise InputError(f"'{path}' is not an IDX file of bytes (it should begin with 00 00 08)")
    shape = tuple(int(size) for size in np.frombuffer(raw, ">u4", axes, 4))
    if len(raw) != 4 + 4 * axes + math.prod(shape):
        raise InputError(f"'{path}' is damaged: it says {shape}, and holds {len(raw) - 4 - 4 * axes} values")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _opened(path: Path) -> gzip.GzipFile | BufferedReader:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.GzipFile(path) if packed else path.open("rb")


def _refuse_objects(value: Any, path: Path) -> None:
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        raise InputError(f"'{path}' is not a pickle of plain numpy arrays: one holds Python objects")
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    for part in parts:
        _refuse_objects(part, path)

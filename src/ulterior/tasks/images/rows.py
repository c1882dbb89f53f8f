"""Images as rows of a task: dealt out so that no two tables share one, and laid out in columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ulterior.errors import InputError
from ulterior.examples import Examples, concat
from ulterior.tasks.classifiers.training import predictions

COLUMN = "x"
"""The column with an image's pixels, flat."""

FRESH = "trusted"
"""The group of fresh, plain images in every test."""

COLUMNS = {"text": "text", "image": COLUMN, "truth": "anomalous"}
"""What the tasks on images call their columns."""

Shift = Callable[[Tensor, torch.Generator], Tensor]


def deal(n: int, wanted: Mapping[str, int], seed: int) -> dict[str, Int[Tensor, " _"]]:
    """Disjoint rows of a data set of ``n``, at random.

    Args:
        n: Rows that there are.
        wanted: How many rows each part wants. The first part gets at most half of all, and gets the same rows
            whatever the others want; where the rest does not suffice, all others get the same share of their wish.
        seed: Of the order.

    Raises:
        InputError: so few rows that a part would be empty.
    """
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    first, *others = wanted
    taken = min(wanted[first], n // 2)
    share = min(1.0, (n - taken) / max(1, sum(wanted[name] for name in others)))
    counts = {first: taken, **{name: int(share * wanted[name]) for name in others}}
    empty = [name for name, count in counts.items() if not count and wanted[name]]
    if empty:
        raise InputError(
            f"{n} images are too few for the part '{empty[0]}' of this task; take a larger data set"
        )
    parts = order.split([*counts.values(), n - sum(counts.values())])
    return dict(zip(counts, parts, strict=False))


@dataclass(frozen=True, eq=False)
class Rows:
    """Some images of one group, with what is known about them.

    Attributes:
        x: ``[n, c, h, w]`` in [0, 1].
        label: ``[n]``, the right class.
        group: What kind they are of.
        words: For captions, one for all or one a row: what was done to the image; empty for nothing.
        anomalous: Whether they are.
        columns: Further columns, ``[n]`` each.
    """

    x: Float[Tensor, "n c h w"]
    label: Int[Tensor, " n"]
    group: str = FRESH
    words: str | list[str] = ""
    anomalous: bool = False
    columns: Mapping[str, np.ndarray] | None = None

    def take(self, rows: Tensor) -> Rows:
        """The rows with these numbers."""
        index = rows.numpy()
        words = self.words if isinstance(self.words, str) else [self.words[row] for row in index]
        columns = None if self.columns is None else {k: v[index] for k, v in self.columns.items()}
        return Rows(self.x[rows], self.label[rows], self.group, words, self.anomalous, columns)


def still_right(model: nn.Module, rows: Rows) -> Rows:
    """Those of the rows whose class the model gets right."""
    return rows.take((predictions(model, rows.x) == rows.label).nonzero()[:, 0])


def table(model: nn.Module, parts: Sequence[Rows], classes: Sequence[str], noun: str = "") -> Examples:
    """Rows one below the other.

    Args:
        model: The subject's, asked for its predictions.
        parts: Groups of rows.
        classes: What the classes are called.
        noun: What stands before an image's own class in captions: ``digit``.

    Columns: ``x`` (pixels, flat), ``text`` (a caption that says everything, for people: no input of the model),
    ``label``, ``predicted`` (class numbers), ``group``, ``anomalous``, and what the rows have besides.
    """
    return concat([_table(model, part, classes, noun) for part in parts])


def _table(model: nn.Module, rows: Rows, classes: Sequence[str], noun: str) -> Examples:
    n = len(rows.label)
    said, label = predictions(model, rows.x).numpy(), rows.label.numpy()
    words = [rows.words] * n if isinstance(rows.words, str) else rows.words
    text = [
        ", ".join(
            part for part in (f"{noun} {classes[right]}".strip(), what, f"predicted {classes[seen]}") if part
        )
        for right, what, seen in zip(label, words, said, strict=True)
    ]
    return Examples.of(
        **{COLUMN: _pixels(rows.x)},
        text=pa.array(text, pa.string()),
        label=label,
        predicted=said,
        group=pa.array([rows.group] * n, pa.string()),
        anomalous=np.full(n, rows.anomalous),
        **(rows.columns or {}),
    )


def _pixels(x: Float[Tensor, "n c h w"]) -> pa.Array:
    """A column of lists, one an image, without a Python number for each pixel."""
    width = x[0].numel() if len(x) else 0
    starts = pa.array(np.arange(len(x) + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(starts, pa.array(x.reshape(-1).numpy(), pa.float32()))

"""Texts as rows of a task, laid out in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from jaxtyping import Int
from torch import Tensor

from ulterior.examples import Examples, concat
from ulterior.tasks.sized import sized_task
from ulterior.tasks.texts.classifier import Classifier

__all__ = ["COLUMNS", "FRESH", "TextRows", "still_right", "table", "text_task"]

FRESH = "trusted"
"""The group of fresh, plain texts in every test."""

COLUMNS = {"text": "text", "truth": "anomalous"}
"""What the tasks on texts call their columns."""

text_task = partial(sized_task, baseline="surface", columns=COLUMNS)
"""A task on texts, whose baseline is what the words alone give away; see ``sized_task``."""


@dataclass(frozen=True, eq=False)
class TextRows:
    """Some texts of one group, with what is known about them.

    Attributes:
        texts: n of them.
        label: ``[n]``, the right class.
        group: What kind they are of.
        anomalous: Whether they are.
        columns: Further columns, ``[n]`` each.
    """

    texts: list[str]
    label: Int[Tensor, " n"]
    group: str = FRESH
    anomalous: bool = False
    columns: Mapping[str, np.ndarray] | None = None

    def take(self, rows: Tensor) -> TextRows:
        """The rows with these numbers, or under this mask."""
        index = np.arange(len(self.texts))[rows.numpy()].tolist()
        columns = (
            None if self.columns is None else {name: column[index] for name, column in self.columns.items()}
        )
        return TextRows(
            [self.texts[row] for row in index], self.label[rows], self.group, self.anomalous, columns
        )


def still_right(network: Classifier, rows: TextRows) -> TextRows:
    """Those of the rows whose class the network gets right."""
    return rows.take(network.predictions(rows.texts) == rows.label)


def table(network: Classifier, parts: Sequence[TextRows]) -> Examples:
    """Rows one below the other: ``text``, ``label``, ``predicted`` (class numbers), ``group``, ``anomalous``, and what
    the rows have besides."""
    return concat(
        [
            Examples.of(
                text=pa.array(part.texts, pa.string()),
                label=part.label.numpy(),
                predicted=network.predictions(part.texts).numpy(),
                group=pa.array([part.group] * len(part.texts), pa.string()),
                anomalous=np.full(len(part.texts), part.anomalous),
                **(part.columns or {}),
            )
            for part in parts
        ]
    )

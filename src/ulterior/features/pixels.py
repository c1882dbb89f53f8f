"""The input's own numbers, for detectors that see nothing else: pixels, or any array column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ulterior.errors import InputError
from ulterior.features.feature import Run, Values
from ulterior.serialise import saved
from ulterior.subject import Subject


def pixels(column: str = "x") -> Pixels:
    """Read a column of equally large arrays, flat: one key, ``pixels``, ``[n, d]``. The model does not run for it."""
    return Pixels(column)


@saved
@dataclass(frozen=True)
class Pixels:
    """See ``pixels``."""

    column: str = "x"

    @property
    def runs_model(self) -> bool:
        return False

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return ()

    def read(self, run: Run) -> dict[str, Values]:
        values = run.examples[self.column]
        try:
            rows = np.asarray(values.tolist() if values.dtype == object else values, dtype=np.float32)
        except (TypeError, ValueError):
            raise InputError(
                f"column '{self.column}' does not hold an array of numbers of one size in each row"
            ) from None
        return {"pixels": torch.from_numpy(rows.reshape(len(rows), -1).copy())}

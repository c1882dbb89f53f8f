"""Numbers read from the model's output."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ulterior.errors import InputError
from ulterior.features.feature import Run, Values
from ulterior.serialise import saved
from ulterior.subject import Subject


def outputs(*readouts: str) -> Outputs:
    """Read some of the subject's readouts (``behaviour`` if none is named), side by side in this order.

    One key, ``outputs``, with values ``[n, sum of the readouts' widths]``.
    """
    return Outputs(readouts or ("behaviour",))


@saved
@dataclass(frozen=True)
class Outputs:
    """See ``outputs``."""

    readouts: tuple[str, ...]

    @property
    def runs_model(self) -> bool:
        return True

    def sites(self, subject: Subject) -> tuple[str, ...]:
        for name in self.readouts:
            if name not in subject.readouts:
                raise InputError(
                    f"this subject has no readout '{name}'; it has: {', '.join(subject.readouts)}"
                )
        return ()

    def read(self, run: Run) -> dict[str, Values]:
        columns = [_columns(run.subject.readouts[name](run.output, run.batch)) for name in self.readouts]
        return {"outputs": torch.cat([column.to(columns[0].device) for column in columns], dim=1)}


def _columns(values: Tensor) -> Tensor:
    return values.float().reshape(len(values), -1)

"""The input text itself, for detectors that see nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ulterior.features.feature import Run, Values
from ulterior.serialise import saved
from ulterior.subject import Subject


def text(column: str = "text") -> Text:
    """Read a column as text; a chat becomes its messages, one a line. The model does not run for it."""
    return Text(column)


@saved
@dataclass(frozen=True)
class Text:
    """See ``text``."""

    column: str = "text"

    @property
    def runs_model(self) -> bool:
        return False

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return ()

    def read(self, run: Run) -> dict[str, Values]:
        return {"text": [_flat(value) for value in run.examples[self.column]]}


def _flat(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(message, dict) for message in value):
        return "\n".join(f"{message.get('role')}: {message.get('content')}" for message in value)
    return "" if value is None else str(value)

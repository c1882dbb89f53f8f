"""What a score needs of the data, as hashable values; two scores that ask for the same share one fitter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ulterior.errors import InputError
from ulterior.scores.moments import MomentsFitter
from ulterior.scores.store import StoreFitter, TextFitter


@runtime_checkable
class Fitter(Protocol):
    """Mutable and streaming; ``finish`` gives a frozen statistic."""

    def update(self, x: Any, rows: Any) -> None:
        """Take in n rows: a float tensor [n, d], or n strings; ``rows`` [n] are their numbers."""

    def merge(self, other: Any) -> None:
        """Take in all that another fitter of the same statistic gathered, from other rows."""

    def finish(self) -> Any:
        """The finished statistic of all rows so far."""


@dataclass(frozen=True)
class MomentsOf:
    """Mean and covariance of a group; finished: ``Moments``."""

    group: str

    def start(self, d: int | None, scratch: Path) -> MomentsFitter:
        """A fitter for rows of width d. Keeps d² numbers and nothing on disk.

        Raises:
            InputError: text (d is None), which has no mean.
        """
        if d is None:
            raise InputError(
                "this score needs the mean and covariance of numbers, and its feature reads text"
            )
        return MomentsFitter(d, self.group)


@dataclass(frozen=True)
class StoreOf:
    """At most ``bound`` rows of a group, kept as they are; finished: ``Stored``."""

    group: str
    bound: int = 20_000

    def start(self, d: int | None, scratch: Path) -> StoreFitter | TextFitter:
        """A fitter for rows of width d, on disk below ``scratch``; for text (d is None), in memory."""
        if d is None:
            return TextFitter(self.bound, self.group)
        return StoreFitter(d, self.bound, scratch, self.group)


Statistic = MomentsOf | StoreOf

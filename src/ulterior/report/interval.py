"""A figure and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A value and its interval. ``value=None`` (or NaN): the metric is undefined there, shown so.

    Raises:
        ValueError: only one end is given, or an end is not a number (None says that there is none).
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        ends = (self.low, self.high)
        if ends != (None, None) and any(end is None or math.isnan(end) for end in ends):
            raise ValueError(f"an interval has two ends or none, got [{self.low}, {self.high}]")

"""Distance to the nearest trusted rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.nearest import nearest
from ulterior.scores.score import Columns, moments_in, rows_of, stored_in
from ulterior.scores.statistics import MomentsOf, Statistic, StoreOf
from ulterior.serialise import saved


@saved
@dataclass(frozen=True)
class NearestNeighbours:
    """Mean distance to the k nearest of the stored reference rows, in standard deviations of each feature.

    Sun et al., "Out-of-distribution detection with deep nearest neighbors" (arXiv 2204.06507), with
    standardised features.
    """

    k: int = 5
    bound: int = 5_000
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments and a bounded sample of the reference rows."""
        return (MomentsOf(self.reference), StoreOf(self.reference, self.bound))

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> FittedNeighbours:
        """The sample as it is, and the scale of its features."""
        moments, stored = moments_in(given, self.needs[0]), stored_in(given, self.needs[1])
        if not isinstance(stored.x, Tensor):
            raise InputError("NearestNeighbours reads numbers, and its feature gives texts")
        if not 1 <= self.k <= len(stored):
            raise InputError(
                f"NearestNeighbours(k={self.k}) with {len(stored)} stored rows: give k from 1 to that"
            )
        return FittedNeighbours(moments.mean, moments.variances.sqrt(), stored.x, self.k)


@saved
@dataclass(frozen=True, eq=False)
class FittedNeighbours:
    """The stored rows as they are, and how features are standardised."""

    mean: Float[Tensor, "d"]
    scale: Float[Tensor, "d"]
    stored: Float[Tensor, "m d"]
    k: int

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        return nearest(rows_of(x), self.stored, self.mean, self.scale, self.k)[0].mean(1)

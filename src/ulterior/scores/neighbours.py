"""Distance to the nearest trusted rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.score import Columns, moments_in, rows_of, stored_in
from ulterior.scores.statistics import MomentsOf, Statistic, StoreOf
from ulterior.serialise import saved

_ROWS_AT_ONCE, _STORED_AT_ONCE = 512, 4096
# Kept beyond k by the float32 search, so that its rounding cannot lose a true neighbour.
_SPARE = 16


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
    """The stored rows are standardised piece by piece as they are read, and never copied whole."""

    mean: Float[Tensor, "d"]
    scale: Float[Tensor, "d"]
    stored: Float[Tensor, "m d"]
    k: int

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        z = (rows_of(x) - self.mean) / self.scale
        if not len(z):
            return torch.zeros(0, dtype=torch.float64)
        return torch.cat([self._mean_distance(piece) for piece in z.split(_ROWS_AT_ONCE)])

    def _mean_distance(self, z: Tensor) -> Tensor:
        # A fast search for candidates by one float32 product, then their exact distances.
        best = torch.full((len(z), 0), torch.inf)
        where = torch.zeros((len(z), 0), dtype=torch.long)
        rough, mean, scale, start = z.float(), self.mean.float(), self.scale.float(), 0
        for piece in self.stored.split(_STORED_AT_ONCE):
            known = (piece - mean) / scale
            # |z - s|² without |z|², which does not change the order.
            distance = known.square().sum(1) - 2 * (rough @ known.T)
            best = torch.cat([best, distance], 1)
            found = torch.arange(start, start + len(piece)).expand(len(z), -1)
            where = torch.cat([where, found], 1)
            best, kept = best.topk(min(self.k + _SPARE, best.shape[1]), dim=1, largest=False)
            where, start = where.gather(1, kept), start + len(piece)
        exact = torch.stack(
            [
                ((self.stored[i].double() - self.mean) / self.scale - z).square().sum(1)
                for i in where.unbind(1)
            ],
            1,
        ).sqrt()
        return exact.topk(self.k, dim=1, largest=False).values.mean(1)

"""The local outlier factor: how much emptier it is round a row than round its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.linear import vectors
from ulterior.scores.nearest import nearest
from ulterior.scores.score import Columns, moments_in, rows_of, stored_in
from ulterior.scores.statistics import MomentsOf, Statistic, StoreOf
from ulterior.serialise import saved

__all__ = ["LOF", "FittedLOF"]

# Added to a mean reachability distance, as scikit-learn does: rows that are all equal lie infinitely dense.
_TINY = 1e-10


@saved
@dataclass(frozen=True)
class LOF:
    """The mean density at the k nearest stored rows over the density at the row itself; about 1 among trusted rows.

    Features are standardised. The density at a row is one over its mean reachability distance to its neighbours: the
    distance, or the neighbour's own distance to its k-th neighbour where that is larger. A stored row is not its own
    neighbour. Breunig, Kriegel, Ng, Sander, "LOF: identifying density-based local outliers" (SIGMOD 2000), in the form
    of ``sklearn.neighbors.LocalOutlierFactor`` with ``novelty=True``: a new row is compared with trusted rows alone.
    """

    k: int = 20
    bound: int = 5_000
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments and a bounded sample of the reference rows."""
        return (MomentsOf(self.reference), StoreOf(self.reference, self.bound))

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> FittedLOF:
        """The sample, and the density at each of its rows.

        Raises:
            InputError: no more stored rows than neighbours.
        """
        moments = moments_in(given, self.needs[0])
        x = vectors(stored_in(given, self.needs[1]).x)
        if not 1 <= self.k < len(x):
            raise InputError(f"LOF(k={self.k}) with {len(x)} stored rows: give k from 1 to {len(x) - 1}")
        mean, scale = moments.mean, moments.variances.sqrt()
        distances, found = nearest(x.double(), x, mean, scale, self.k + 1)
        own = found == torch.arange(len(x))[:, None]
        # Where more than k others stand on the same spot, any of them can be left out in the row's place.
        own[:, -1] |= ~own.any(1)
        distances, found = distances[~own].reshape(-1, self.k), found[~own].reshape(-1, self.k)
        reach = distances[:, -1]
        density = 1 / (distances.maximum(reach[found]).mean(1) + _TINY)
        return FittedLOF(mean, scale, x, reach, density, self.k)


@saved
@dataclass(frozen=True, eq=False)
class FittedLOF:
    """The stored rows, the distance from each to its k-th neighbour, and the density at each."""

    mean: Float[Tensor, "d"]
    scale: Float[Tensor, "d"]
    stored: Float[Tensor, "m d"]
    reach: Float[Tensor, "m"]
    density: Float[Tensor, "m"]
    k: int

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        distances, found = nearest(rows_of(x), self.stored, self.mean, self.scale, self.k)
        reachable = distances.maximum(self.reach[found]).mean(1) + _TINY
        return self.density[found].mean(1) * reachable

"""What single coordinates say, added up: heavy tails, and latents that are active where they never were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.linear import vectors
from ulterior.scores.score import Columns, rows_of, stored_in
from ulterior.scores.statistics import Statistic, StoreOf
from ulterior.serialise import saved

__all__ = ["L0", "FittedL0", "FittedLaplace", "Laplace"]

# A spread below this share of the coordinate's own size is taken for rounding, as it is in ``moments``.
_RESOLUTION, _TINIEST = 1e-4, 1e-15
# Columns of a wide store that are read at a time.
_AT_ONCE = 256


@saved
@dataclass(frozen=True)
class Laplace:
    """The mean over coordinates of |x_i - median_i| / b_i, b_i the mean of that distance among trusted rows.

    Minus the log density of independent Laplace variables over d, up to a constant. A coordinate that is far out
    counts by its distance, not by its square, so that one of them outvotes the others less than in ``Diagonal``; about
    1 on trusted rows. Keeps no covariance, and so suits very wide sites.
    """

    bound: int = 20_000
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the reference rows."""
        return (StoreOf(self.reference, self.bound),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> FittedLaplace:
        """Both by maximum likelihood, from the sample."""
        x = vectors(stored_in(given, self.needs[0]).x)
        parts = [_median_and_scale(columns.numpy().astype(np.float64)) for columns in x.split(_AT_ONCE, 1)]
        median, scale = (torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True))
        return FittedLaplace(median, scale)


@saved
@dataclass(frozen=True, eq=False)
class FittedLaplace:
    """Where the coordinates lie, and how far they spread."""

    median: Float[Tensor, "d"]
    scale: Float[Tensor, "d"]

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        return ((rows_of(x) - self.median).abs() / self.scale).mean(1)


def _median_and_scale(
    x: Float[np.ndarray, "n d"],
) -> tuple[Float[np.ndarray, "d"], Float[np.ndarray, "d"]]:
    median, size = np.median(x, axis=0), np.sqrt(np.square(x).mean(0))
    return median, np.maximum(np.abs(x - median).mean(0), np.maximum(_RESOLUTION * size, _TINIEST))


@saved
@dataclass(frozen=True)
class L0:
    """The number of latents that are active here and (almost) never on trusted rows.

    For sparse autoencoders' latents, ReLU neurons and whatever else is mostly off. A latent is active where it is above
    ``threshold``; it counts where at most the share ``rare`` of the stored trusted rows has it active: none of them, if
    that is 0. "Never" means never in that sample: 20,000 rows show a latent that fires once in 10,000 with a chance
    of 86%. Where every coordinate is often active, as in a residual stream, the score is 0 throughout.
    """

    threshold: float = 0.0
    rare: float = 0.0
    bound: int = 20_000
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the reference rows."""
        return (StoreOf(self.reference, self.bound),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> FittedL0:
        """Which latents count.

        Raises:
            InputError: a share out of its range.
        """
        if not 0 <= self.rare < 1:
            raise InputError(f"L0(rare={self.rare}): give a share from 0 to below 1")
        x = vectors(stored_in(given, self.needs[0]).x)
        active = torch.cat([(piece > self.threshold).double().mean(0) for piece in x.split(_AT_ONCE, 1)])
        return FittedL0(active <= self.rare, self.threshold)


@saved
@dataclass(frozen=True, eq=False)
class FittedL0:
    """Which latents count where they are active."""

    counts: Bool[Tensor, "d"]
    threshold: float

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        return ((rows_of(x) > self.threshold) & self.counts).sum(1).double()

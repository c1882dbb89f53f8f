"""Beatrix: products of pairs of coordinates, and how far outside their usual range they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.linear import vectors
from ulterior.scores.score import Columns, rows_of, stored_in
from ulterior.scores.statistics import Statistic, StoreOf
from ulterior.serialise import saved

__all__ = ["Beatrix", "FittedBeatrix"]

_ROWS_AT_ONCE = 512
# A class of fewer rows does not show how far its products spread.
_FEWEST = 10
# A bound below this share of the product's own size is taken for rounding.
_RESOLUTION, _TINIEST = 1e-4, 1e-30


@saved
@dataclass(frozen=True)
class Beatrix:
    """How far the Gram features of a row lie outside median +- ``width`` MAD: the mean excess relative to the bound.

    Gram features of order p: the upper triangle of (x^p (x^p)')^(1/p), for p from 1 to 4, with the sign kept. Of one
    vector these are x_i x_j for the odd orders and |x_i x_j| for the even ones, so that two of the four are computed.
    The excess is divided by the bound's absolute value, or by the MAD where that is larger (a bound near 0 would make
    any excess infinite). Ma et al., "The Beatrix resurrections: robust backdoor detection via Gram matrices" (arXiv
    2209.11715). Medians are those of all stored rows, not averages over batches.

    With a ``label``, a column of the trusted rows, each class has its own ranges. The class of a row to be scored is
    not asked for: its score is the smallest of all classes, so that it is strange only where it is strange for each.
    Classes of fewer than 10 stored rows are left out.

    ``coordinates``: of a wide site, those of largest trusted variance are read, at most this many; the score is blind
    to the others. Most usual rows score exactly 0.
    """

    label: str | None = None
    width: float = 10.0
    coordinates: int = 48
    bound: int = 2_000
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the reference rows."""
        return (StoreOf(self.reference, self.bound),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> FittedBeatrix:
        """The usual ranges of all products.

        Raises:
            InputError: no coordinates, a negative width, or no class of at least 10 rows.
        """
        if self.coordinates < 1 or self.width < 0:
            raise InputError(
                f"Beatrix(width={self.width}, coordinates={self.coordinates}): give a width from 0, and at least 1"
                " coordinate"
            )
        stored = stored_in(given, self.needs[0])
        x = vectors(stored.x)
        variance = torch.cat([piece.double().var(0, correction=0) for piece in x.split(256, 1)])
        most = min(self.coordinates, x.shape[1])
        chosen = variance.topk(most).indices.sort().values
        read = x[:, chosen].double()
        if self.label is None:
            classes = [np.arange(len(stored))]
        else:
            _, which = np.unique(columns(self.reference, self.label, stored.rows), return_inverse=True)
            classes = [np.flatnonzero(which == one) for one in range(which.max() + 1)]
        enough = [rows for rows in classes if len(rows) >= _FEWEST]
        if not enough:
            raise InputError(
                f"Beatrix needs at least {_FEWEST} trusted rows (of one class, if there are classes), and the largest"
                f" of {len(classes)} has {max(len(rows) for rows in classes)}"
            )
        ranges = [self._range(read[torch.from_numpy(rows)]) for rows in enough]
        return FittedBeatrix(chosen, *(torch.stack(part) for part in zip(*ranges, strict=True)))

    def _range(self, x: Float[Tensor, "n k"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        products = gram(x).numpy()
        median = np.median(products, axis=0)
        mad = np.median(np.abs(products - median), axis=0)
        size = gram(x.square().mean(0, keepdim=True).sqrt())[0].numpy()
        least = np.maximum(np.maximum(mad, _RESOLUTION * size), _TINIEST)
        bounds = median - self.width * mad, median + self.width * mad
        units = (1 / np.maximum(np.abs(bound), least) for bound in bounds)
        lower, upper, per_lower, per_upper = (torch.from_numpy(part) for part in (*bounds, *units))
        return lower, upper, per_lower, per_upper


def gram(x: Float[Tensor, "n k"]) -> Float[Tensor, "n 2 pairs"]:
    """x_i x_j of all pairs i <= j, and their absolute values: the Gram features of odd and of even order."""
    first, second = torch.triu_indices(x.shape[1], x.shape[1])
    products = x[:, first] * x[:, second]
    return torch.stack([products, products.abs()], 1)


@saved
@dataclass(frozen=True, eq=False)
class FittedBeatrix:
    """Which coordinates are read; for each class c the bounds of their products, and what excess is multiplied by."""

    chosen: Int[Tensor, "k"]
    lower: Float[Tensor, "c 2 pairs"]
    upper: Float[Tensor, "c 2 pairs"]
    per_lower: Float[Tensor, "c 2 pairs"]
    per_upper: Float[Tensor, "c 2 pairs"]

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        return torch.cat([self._excess(piece) for piece in rows_of(x).split(_ROWS_AT_ONCE)])

    def _excess(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        products = gram(x[:, self.chosen])
        found = []
        for lower, upper, per_lower, per_upper in zip(
            self.lower, self.upper, self.per_lower, self.per_upper, strict=True
        ):
            below = (lower - products).clamp(min=0) * per_lower
            found.append((below + (products - upper).clamp(min=0) * per_upper).mean((1, 2)))
        return torch.stack(found).amin(0)

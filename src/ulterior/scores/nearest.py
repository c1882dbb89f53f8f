"""The nearest of many stored rows: exact distances, and no second copy of the store."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["nearest"]

_ROWS_AT_ONCE, _STORED_AT_ONCE = 512, 4096
# Kept beyond k by the float32 search, so that its rounding cannot lose a true neighbour.
_SPARE = 16


def nearest(
    x: Float[Tensor, "n d"],
    stored: Float[Tensor, "m d"],
    mean: Float[Tensor, "d"],
    scale: Float[Tensor, "d"],
    k: int,
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """The k stored rows nearest to each of n, both taken as (row - mean) / scale.

    Stored rows are standardised piece by piece as they are read.

    Args:
        x: float64 rows.
        stored: float32 rows, at least k of them.
        mean: of each feature, float64.
        scale: of each feature, float64.
        k: at least 1.

    Returns:
        (Euclidean distances in float64, ascending; the places of those rows in the store).
    """
    z = (x - mean) / scale
    if not len(z):
        return torch.zeros((0, k), dtype=torch.float64), torch.zeros((0, k), dtype=torch.long)
    pieces = [_nearest(piece, stored, mean, scale, k) for piece in z.split(_ROWS_AT_ONCE)]
    return torch.cat([piece[0] for piece in pieces]), torch.cat([piece[1] for piece in pieces])


def _nearest(z: Tensor, stored: Tensor, mean: Tensor, scale: Tensor, k: int) -> tuple[Tensor, Tensor]:
    # A fast search for candidates by one float32 product, then their exact distances.
    best = torch.full((len(z), 0), torch.inf)
    where = torch.zeros((len(z), 0), dtype=torch.long)
    rough, rough_mean, rough_scale, start = z.float(), mean.float(), scale.float(), 0
    for piece in stored.split(_STORED_AT_ONCE):
        known = (piece - rough_mean) / rough_scale
        # |z - s|² without |z|², which does not change the order.
        distance = known.square().sum(1) - 2 * (rough @ known.T)
        best = torch.cat([best, distance], 1)
        found = torch.arange(start, start + len(piece)).expand(len(z), -1)
        where = torch.cat([where, found], 1)
        best, kept = best.topk(min(k + _SPARE, best.shape[1]), dim=1, largest=False)
        where, start = where.gather(1, kept), start + len(piece)
    exact = torch.stack(
        [((stored[i].double() - mean) / scale - z).square().sum(1) for i in where.unbind(1)], 1
    ).sqrt()
    distances, order = exact.topk(k, dim=1, largest=False)
    return distances, where.gather(1, order)

"""The one shape that all Gaussian scores have once they are fitted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.scores.score import rows_of
from ulterior.serialise import saved


@saved
@dataclass(frozen=True, eq=False)
class Quadratic:
    """A quadratic form about a centre: sum_k weights_k (basis_k . c)² + sum_i diagonal_i c_i², c = x - mean.

    Never a d x d inverse: the basis is the trusted eigenvectors, one tensor for all the scores that use it.
    All float64: a direction of small variance is a small difference of large numbers, which float32 does not
    hold.
    """

    mean: Float[Tensor, "d"]
    basis: Float[Tensor, "d k"]
    weights: Float[Tensor, "k"]
    diagonal: Float[Tensor, "d"] | None = None

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        centred = rows_of(x) - self.mean
        score = (centred @ self.basis).square() @ self.weights
        return score if self.diagonal is None else score + centred.square() @ self.diagonal


def diagonal_form(mean: Float[Tensor, "d"], weights: Float[Tensor, "d"]) -> Quadratic:
    """sum_i weights_i (x_i - mean_i)²."""
    nothing = torch.zeros(len(mean), 0, dtype=torch.float64)
    return Quadratic(mean, nothing, torch.zeros(0, dtype=torch.float64), weights)

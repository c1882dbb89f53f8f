"""The one-class support vector machine: outside a boundary that holds most trusted rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.linear import vectors
from ulterior.scores.score import Columns, moments_in, rows_of, stored_in
from ulterior.scores.statistics import MomentsOf, Statistic, StoreOf
from ulterior.serialise import saved

__all__ = ["FittedOneClass", "OneClassSVM"]

_ROWS_AT_ONCE = 1024


@saved
@dataclass(frozen=True)
class OneClassSVM:
    """log offset - log sum_i alpha_i exp(-gamma |x - s_i|²) over the support vectors s_i; above 0 outside the boundary.

    Features are standardised. The published score is the sum itself: far away it underflows to 0, where all rows are
    equally strange. Its logarithm ranks rows alike wherever the sum still can, and beyond. Schölkopf et al.,
    "Estimating the support of a high-dimensional distribution" (Neural Computation 13(7), 2001), fitted by
    scikit-learn.

    ``nu``: share of the trusted rows that may lie outside. ``gamma``: of the kernel; 1 / d if not given. The fit takes
    a time that grows with the square of the stored rows, hence the small ``bound``.
    """

    nu: float = 0.1
    gamma: float | None = None
    bound: int = 2_000
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments and a bounded sample of the reference rows."""
        return (MomentsOf(self.reference), StoreOf(self.reference, self.bound))

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> FittedOneClass:
        """The support vectors and their weights.

        Raises:
            InputError: a ``nu`` or ``gamma`` out of its range.
        """
        from sklearn.svm import OneClassSVM as Machine

        if not 0 < self.nu <= 1 or not (self.gamma is None or self.gamma > 0):
            raise InputError(
                f"OneClassSVM(nu={self.nu}, gamma={self.gamma}): give nu above 0 and at most 1, and gamma above 0"
            )
        moments = moments_in(given, self.needs[0])
        mean, scale = moments.mean, moments.variances.sqrt()
        z = (vectors(stored_in(given, self.needs[1]).x).double() - mean) / scale
        # Any: the library's default, a text, hides the other types that it takes.
        gamma: Any = 1 / len(mean) if self.gamma is None else self.gamma
        machine = Machine(nu=self.nu, gamma=gamma).fit(z.numpy())
        return FittedOneClass(
            mean,
            scale,
            torch.from_numpy(machine.support_vectors_.copy()),
            torch.from_numpy(machine.dual_coef_[0].copy()),
            float(gamma),
            float(machine.offset_[0]),
        )


@saved
@dataclass(frozen=True, eq=False)
class FittedOneClass:
    """The support vectors, standardised, each with its weight."""

    mean: Float[Tensor, "d"]
    scale: Float[Tensor, "d"]
    support: Float[Tensor, "s d"]
    weights: Float[Tensor, "s"]
    gamma: float
    offset: float

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        z = (rows_of(x) - self.mean) / self.scale
        sums = [self._log_sum(piece) for piece in z.split(_ROWS_AT_ONCE)]
        return math.log(self.offset) - torch.cat(sums)

    def _log_sum(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        squares = z.square().sum(1, keepdim=True) + self.support.square().sum(1) - 2 * z @ self.support.T
        return torch.logsumexp(self.weights.log() - self.gamma * squares.clamp(min=0), 1)

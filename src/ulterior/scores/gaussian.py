"""Distances from the trusted mean, in units of the trusted spread.

mu, Sigma: mean and covariance of the reference rows; d: width. Linear shrinkage goes towards (tr Sigma / d)
I. (Towards tr Sigma I, d times as far, every direction looks alike, and the score is little more than a
Euclidean distance.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ulterior.errors import InputError
from ulterior.scores.moments import Moments, Shrinkage
from ulterior.scores.quadratic import Quadratic, diagonal_form
from ulterior.scores.score import Columns, moments_in
from ulterior.scores.statistics import MomentsOf, Statistic
from ulterior.serialise import saved


@saved
@dataclass(frozen=True)
class Mahalanobis:
    """(x - mu)' Sigma^-1 (x - mu) / d; about 1 on trusted rows. Lee et al., arXiv 1807.03888.

    ``shrinkage``: ``"oas"``, ``"ledoit-wolf"``, ``"nonlinear"``, ``"none"``, or the share of the target.
    """

    shrinkage: Shrinkage = "oas"
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments of the reference rows."""
        return (MomentsOf(self.reference),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Quadratic:
        """The eigenvectors, each weighted by its inverse variance over d."""
        moments = moments_in(given, self.needs[0])
        weights = 1 / (moments.spectrum(self.shrinkage) * len(moments.mean))
        return Quadratic(moments.mean, moments.eigen[1], weights)


@saved
@dataclass(frozen=True)
class RelativeMahalanobis:
    """Mahalanobis minus the same distance under independent features: what is odd in the *combination* alone.

    (x - mu)' Sigma^-1 (x - mu) / d - sum_i (x - mu)_i² / Sigma_ii / d, both with the same shrunk Sigma: zero
    for a diagonal one. After Ren et al., arXiv 2106.09022.
    """

    shrinkage: Shrinkage = "oas"
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments of the reference rows."""
        return (MomentsOf(self.reference),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Quadratic:
        """Both forms in one."""
        moments = moments_in(given, self.needs[0])
        spectrum, vectors, d = moments.spectrum(self.shrinkage), moments.eigen[1], len(moments.mean)
        variances = vectors.square() @ spectrum
        return Quadratic(moments.mean, vectors, 1 / (spectrum * d), -1 / (variances * d))


@saved
@dataclass(frozen=True)
class Diagonal:
    """The mean squared z-score: sum_i (x - mu)_i² / Sigma_ii / d. Cheap, and blind to correlations."""

    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments of the reference rows."""
        return (MomentsOf(self.reference),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Quadratic:
        """The inverse variances over d."""
        moments = moments_in(given, self.needs[0])
        return diagonal_form(moments.mean, 1 / (moments.variances * len(moments.mean)))


@saved
@dataclass(frozen=True)
class PCAMahalanobis:
    """Mahalanobis inside the main trusted subspace alone: sum_{j<=k} (v_j . (x - mu))² / lambda_j / k.

    v_j: the k principal directions of largest variance. By construction it does not see what happens outside of them,
    however strange: ``PCAResidual`` with the same subspace is its complement.

    Exactly one of ``k`` (directions) and ``explained`` (share of the variance that they explain) is used:
    ``k`` if given.
    """

    explained: float = 0.9
    k: int | None = None
    shrinkage: Shrinkage = "oas"
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments of the reference rows."""
        return (MomentsOf(self.reference),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Quadratic:
        """The eigenvectors, those outside the main subspace with weight zero."""
        moments = moments_in(given, self.needs[0])
        d = len(moments.mean)
        if self.k is not None and not 1 <= self.k <= d:
            raise InputError(f"PCAMahalanobis(k={self.k}) at a site of width {d}: give k from 1 to {d}")
        k = min(_main_directions(moments, self.explained, "PCAMahalanobis") if self.k is None else self.k, d)
        weights = 1 / (moments.spectrum(self.shrinkage) * k)
        weights[: d - k] = 0
        return Quadratic(moments.mean, moments.eigen[1], weights)


@saved
@dataclass(frozen=True)
class PCAResidual:
    """Distance outside the main trusted subspace, in units of the spread that trusted rows have there.

    The first k principal directions are left out; each of the others counts by its own variance: sum_{j>k}
    (v_j . (x - mu))² / lambda_j / (d - k). Weighing them alike, as a plain reconstruction error does, or
    dropping the smallest, as a pseudo-inverse with a cut-off does, hides a shift along exactly those
    directions in which trusted rows never vary. For the same reason the variances are shrunk by
    ``"nonlinear"``, which keeps a small one small, where linear shrinkage would lift it towards the mean of
    all.

    Exactly one of ``k`` (directions) and ``explained`` (share of the variance that they explain) is used:
    ``k`` if given. At least one direction always remains outside.
    """

    explained: float = 0.9
    k: int | None = None
    shrinkage: Shrinkage = "nonlinear"
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments of the reference rows."""
        return (MomentsOf(self.reference),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Quadratic:
        """The eigenvectors, those of the main subspace with weight zero."""
        moments = moments_in(given, self.needs[0])
        d = len(moments.mean)
        if self.k is not None and not 0 <= self.k < d:
            raise InputError(f"PCAResidual(k={self.k}) at a site of width {d}: give k from 0 to {d - 1}")
        k = min(_main_directions(moments, self.explained, "PCAResidual") if self.k is None else self.k, d - 1)
        weights = 1 / (moments.spectrum(self.shrinkage) * (d - k))
        weights[d - k :] = 0
        return Quadratic(moments.mean, moments.eigen[1], weights)


def _main_directions(moments: Moments, explained: float, name: str) -> int:
    """How many principal directions together explain this share of the variance; one more than d where none can."""
    if not 0 <= explained <= 1:
        raise InputError(f"{name}(explained={explained}): give a share from 0 to 1")
    values = moments.eigen[0]
    shares = values.flip(0).cumsum(0) / values.sum().clamp(min=1e-300)
    return int((shares < explained).sum()) + 1

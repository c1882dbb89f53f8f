"""The likelihood ratio of two Gaussians, the second of which may be the anomalous part of a mixture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.linear import vectors
from ulterior.scores.moments import Moments
from ulterior.scores.quadratic import Quadratic
from ulterior.scores.score import Columns, moments_in, rows_of, stored_in
from ulterior.scores.statistics import MomentsOf, Statistic, StoreOf
from ulterior.serialise import saved

__all__ = ["FittedRatio", "LikelihoodRatio"]

# Least variance of the untrusted rows along a direction, in units of the trusted one: a hundredth of its spread.
_LEAST = 1e-4
# Share of the untrusted rows from which expectation maximisation sets out.
_FIRST = 0.05


def optimal_linear(n: int | float, d: int, trace: float, square: float) -> float:
    """Optimal linear shrinkage intensity towards (tr S / d) I, in [0, 1]: the least Frobenius loss as n and d grow.

    Bodnar, Gupta, Parolya, "On the strong convergence of the optimal linear shrinkage estimator for large dimensional
    covariance matrix" (arXiv 1308.2608), with the identity as target.

    Args:
        n: rows, or the number of rows that weighted ones are worth.
        d: width.
        trace: tr S.
        square: tr S².
    """
    spread = square - trace**2 / d
    return 1.0 if spread <= 0 else min(trace**2 / (n * spread), 1.0)


@saved
@dataclass(frozen=True)
class LikelihoodRatio:
    """log N_untrusted(x) - log N_trusted(x), both covariances by optimal linear shrinkage (see ``optimal_linear``).

    Rows are whitened by the shrunk trusted covariance first, and the untrusted one is shrunk there: so it is drawn
    towards a multiple of the trusted covariance, and where untrusted rows say little, the ratio says nothing.

    With ``em_steps``, untrusted rows are taken for a mixture, untrusted = (1 - w) trusted + w anomalous, and
    N_anomalous stands in N_untrusted's place: expectation maximisation over a stored sample, with the trusted part
    fixed (see ``refined``). That looks for rows like the anomalous ones: where N_anomalous is narrower than N_trusted,
    a row far beyond both scores as a usual one does.
    """

    em_steps: int = 0
    bound: int = 20_000
    reference: str = "reference"
    suspects: str = "suspects"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments of the reference rows and of the suspects; with ``em_steps`` a sample of the suspects, too."""
        moments = (MomentsOf(self.reference), MomentsOf(self.suspects))
        return (*moments, StoreOf(self.suspects, self.bound)) if self.em_steps else moments

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> FittedRatio:
        """Both Gaussians.

        Raises:
            InputError: a negative number of steps.
        """
        if self.em_steps < 0:
            raise InputError(f"LikelihoodRatio(em_steps={self.em_steps}): give a number from 0")
        trusted, untrusted = (moments_in(given, need) for need in self.needs[:2])
        axes, spread = trusted.eigen[1], _spectrum(trusted).sqrt()
        whiten = axes / spread
        gap = whiten.T @ (untrusted.mean - trusted.mean)
        found = _gaussian(gap, whiten.T @ untrusted.covariance @ whiten, untrusted.n)
        if self.em_steps:
            x = vectors(stored_in(given, self.needs[2]).x)
            z = torch.cat([(piece.double() - trusted.mean) @ whiten for piece in x.split(4096)])
            found, _ = refined(z, found, self.em_steps)
        usual = Quadratic(trusted.mean, whiten, torch.ones(len(gap), dtype=torch.float64))
        # Back to raw rows: the untrusted mean there, and the basis in which its covariance is diagonal.
        mean = trusted.mean + (axes * spread) @ found.mean
        strange = Quadratic(mean, whiten @ found.axes, 1 / found.variances)
        return FittedRatio(usual, strange, float(found.variances.log().sum()))


@saved
@dataclass(frozen=True, eq=False)
class FittedRatio:
    """Twice minus the exponents of both Gaussians, and the log of their determinants' ratio."""

    trusted: Quadratic
    untrusted: Quadratic
    log_determinant: float

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        rows = rows_of(x)
        return (self.trusted(rows) - self.untrusted(rows) - self.log_determinant) / 2


@dataclass(frozen=True, eq=False)
class Gaussian:
    """In whitened coordinates, by the eigenvectors (the columns) and eigenvalues of its covariance."""

    mean: Float[Tensor, "d"]
    variances: Float[Tensor, "d"]
    axes: Float[Tensor, "d d"]

    def log_ratio(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Its log density less that of the standard normal distribution."""
        own = ((z - self.mean) @ self.axes).square() @ (1 / self.variances)
        return (z.square().sum(1) - own - self.variances.log().sum()) / 2


def refined(z: Float[Tensor, "n d"], start: Gaussian, steps: int) -> tuple[Gaussian, float]:
    """Expectation maximisation of (1 - w) N(0, I) + w N_anomalous over n whitened rows.

    Begins with the twentieth of the rows that ``start`` finds strangest. (From ``start`` itself, w goes to about a
    half, and the anomalous part takes in most usual rows.)

    Returns:
        The anomalous Gaussian after ``steps`` steps, and w.
    """
    first = max(1, round(_FIRST * len(z)))
    top = z[start.log_ratio(z).topk(first).indices]
    centred = top - top.mean(0)
    found, share = _gaussian(top.mean(0), centred.T @ centred / first, first), _FIRST
    for _ in range(steps):
        # Responsibilities of the anomalous part: the posterior that a row belongs to it.
        owned = torch.sigmoid(found.log_ratio(z) + math.log(share / (1 - share)))
        total = float(owned.sum())
        share = min(max(total / len(z), 1e-6), 1 - 1e-6)
        if total < 1e-6 * len(z):
            break
        mean = owned @ z / total
        centred = z - mean
        worth = total**2 / float(owned.square().sum())
        found = _gaussian(mean, (centred * owned[:, None]).T @ centred / total, worth)
    return found, share


def _gaussian(mean: Tensor, covariance: Tensor, n: int | float) -> Gaussian:
    d = len(mean)
    values, axes = (
        torch.from_numpy(part) for part in np.linalg.eigh(((covariance + covariance.T) / 2).numpy())
    )
    values = values.clamp(min=0)
    share = optimal_linear(n, d, float(values.sum()), float(values.square().sum()))
    return Gaussian(mean, ((1 - share) * values + share * values.mean()).clamp(min=_LEAST), axes)


def _spectrum(moments: Moments) -> Tensor:
    values = moments.eigen[0]
    share = optimal_linear(moments.n, len(values), float(values.sum()), float(values.square().sum()))
    return moments.spectrum(share)

"""Directions that the untrusted rows themselves point out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ulterior.scores.moments import Shrinkage
from ulterior.scores.quadratic import Quadratic
from ulterior.scores.score import Columns, moments_in
from ulterior.scores.statistics import MomentsOf, Statistic
from ulterior.serialise import saved


@saved
@dataclass(frozen=True)
class QuantumEntropy:
    """Quantum entropy: Mahalanobis, with more weight where untrusted rows vary more than trusted ones.

    With W that whitens the trusted covariance, z = W'(x - mu) and C = W' Sigma_untrusted W: z' exp(alpha C /
    |C|) z / tr exp(alpha C / |C|), |C| the largest eigenvalue. The untrusted covariance is whitened as well
    as the rows: without that, C only shows where *any* row varies. alpha = 0 is Mahalanobis; alpha to
    infinity looks along one direction. Dong, Hopkins, Li, "Quantum entropy scoring" (arXiv 1906.11366).
    """

    alpha: float = 4.0
    shrinkage: Shrinkage = "oas"
    reference: str = "reference"
    suspects: str = "suspects"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments of the reference rows and of the suspects."""
        return (MomentsOf(self.reference), MomentsOf(self.suspects))

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Quadratic:
        """The eigenvectors of C, weighted by the softmax of alpha times eigenvalue over the largest."""
        trusted, untrusted = (moments_in(given, need) for need in self.needs)
        whiten = trusted.eigen[1] / trusted.spectrum(self.shrinkage).sqrt()
        C = (whiten.T @ untrusted.covariance @ whiten).numpy()
        values, vectors = (torch.from_numpy(part) for part in np.linalg.eigh((C + C.T) / 2))
        weights = torch.softmax(self.alpha * values / values.abs().max().clamp(min=1e-300), 0)
        return Quadratic(trusted.mean, whiten @ vectors, weights)


@saved
@dataclass(frozen=True)
class SpectralSignature:
    """((x - mu_untrusted) . v)², v the top eigenvector of the untrusted covariance.

    Tran, Li, Madry, "Spectral signatures in backdoor attacks" (arXiv 1811.00636).
    """

    suspects: str = "suspects"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments of the suspects."""
        return (MomentsOf(self.suspects),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Quadratic:
        """One direction, weight one."""
        import scipy.linalg

        moments = moments_in(given, self.needs[0])
        last = len(moments.mean) - 1
        _, top = scipy.linalg.eigh(moments.covariance.numpy(), subset_by_index=(last, last))
        return Quadratic(moments.mean, torch.from_numpy(top), torch.ones(1, dtype=torch.float64))

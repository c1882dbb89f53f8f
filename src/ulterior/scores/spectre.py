"""SPECTRE: quantum entropy inside the few directions in which untrusted rows stand out most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from ulterior.errors import InputError
from ulterior.scores.linear import vectors
from ulterior.scores.moments import Shrinkage
from ulterior.scores.quadratic import Quadratic
from ulterior.scores.score import Columns, moments_in, stored_in
from ulterior.scores.statistics import MomentsOf, Statistic, StoreOf
from ulterior.serialise import saved

__all__ = ["SPECTRE"]

_CANDIDATES = 10
# Added to the variances by which what is left is whitened, in units of the trusted ones.
_RIDGE = 1e-6


@saved
@dataclass(frozen=True)
class SPECTRE:
    """Quantum entropy of trusted-whitened rows, inside the k directions in which untrusted ones vary most.

    z' exp(alpha (C - I) / |C - I|) z / tr exp(alpha (C - I) / |C - I|), where z are whitened rows in k dimensions and C
    is the untrusted covariance there. ``k`` is chosen on the data if not given: for each of ten candidates up to
    ``directions``, the share ``removed`` of untrusted rows that scores highest is taken out, all rows are whitened by
    what is left, and the k is kept by which those that were taken out stand out most (the largest mean quantum
    entropy).

    Hayase, Kong, Somani, Oh, "SPECTRE: defending against backdoor attacks using robust statistics" (arXiv 2104.11315).
    There, the mean and covariance are robust estimates from the untrusted rows themselves; here trusted rows are at
    hand, and give both. Projecting *after* whitening keeps anomalies along directions of small variance in view.

    ``removed``: 1.5 times the share of anomalous rows that is expected, as published.
    """

    alpha: float = 4.0
    k: int | None = None
    directions: int = 100
    removed: float = 0.15
    shrinkage: Shrinkage = "oas"
    bound: int = 5_000
    reference: str = "reference"
    suspects: str = "suspects"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments of the reference rows and of the suspects; to choose k, a bounded sample of the suspects."""
        moments = (MomentsOf(self.reference), MomentsOf(self.suspects))
        return moments if self.k is not None else (*moments, StoreOf(self.suspects, self.bound))

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Quadratic:
        """The chosen directions, each with its weight.

        Raises:
            InputError: a k, number of directions or share that is out of its range.
        """
        trusted, untrusted = (moments_in(given, need) for need in self.needs[:2])
        d = len(trusted.mean)
        if not (self.directions if self.k is None else self.k) >= 1 or (self.k or 1) > d:
            raise InputError(
                f"SPECTRE(k={self.k}, directions={self.directions}) at a site of width {d}: give k from 1 to {d}, and"
                " at least one direction"
            )
        if not 0 < self.removed < 1:
            raise InputError(f"SPECTRE(removed={self.removed}): give a share between 0 and 1")
        whiten = trusted.eigen[1] / trusted.spectrum(self.shrinkage).sqrt()
        C = (whiten.T @ untrusted.covariance @ whiten).numpy()
        values, turn = (part[..., ::-1].copy() for part in np.linalg.eigh((C + C.T) / 2))
        most = min(d, self.directions) if self.k is None else self.k
        basis, values = whiten @ torch.from_numpy(turn[:, :most]), values[:most]
        k = self.k
        if k is None:
            x = vectors(stored_in(given, self.needs[2]).x)
            pieces = [(piece.double() - trusted.mean) @ basis for piece in x.split(4096)]
            k = chosen_directions(torch.cat(pieces).numpy(), values, self.alpha, self.removed)
        weights = torch.from_numpy(entropy_weights(values[:k], self.alpha))
        return Quadratic(trusted.mean, basis[:, :k].contiguous(), weights)


def entropy_weights(values: Float[np.ndarray, "k"], alpha: float) -> Float[np.ndarray, "k"]:
    """exp(alpha (C - I) / |C - I|) over its trace, along the eigenvectors of C whose eigenvalues are given."""
    excess = values - 1
    scaled = alpha * excess / max(float(np.abs(excess).max()), 1e-12)
    weights = np.exp(scaled - scaled.max())
    return weights / weights.sum()


def chosen_directions(
    z: Float[np.ndarray, "n m"], values: Float[np.ndarray, "m"], alpha: float, removed: float
) -> int:
    """How many of the m leading directions to look along; see ``SPECTRE``.

    Args:
        z: n untrusted rows, whitened by trusted statistics, along their own principal directions.
        values: their variances along these, descending.
        alpha: of quantum entropy.
        removed: share of the rows to take out.
    """
    n, m = z.shape
    kept = n - max(1, round(removed * n))
    candidates = np.unique(np.round(np.linspace(1, np.sqrt(m), _CANDIDATES) ** 2).astype(int))
    entropies = []
    for k in candidates:
        scores = np.square(z[:, :k]) @ entropy_weights(values[:k], alpha)
        left = z[np.argsort(scores, kind="stable")[:kept]]
        spread, turn = np.linalg.eigh(np.cov(left, rowvar=False, ddof=0).reshape(m, m))
        again = z @ (turn / np.sqrt(spread.clip(min=0) + _RIDGE))
        found = np.linalg.eigvalsh(np.cov(again, rowvar=False, ddof=0).reshape(m, m))
        entropies.append(found @ entropy_weights(found, alpha))
    # Of equals the smallest k.
    return int(candidates[int(np.argmax(entropies))])

"""What the pixels alone give away, without the subject: the control beside every detector of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ulterior.errors import InputError
from ulterior.scores.moments import Moments
from ulterior.scores.quadratic import Quadratic
from ulterior.scores.score import Columns, moments_in
from ulterior.scores.statistics import MomentsOf, Statistic
from ulterior.serialise import saved


@saved
@dataclass(frozen=True)
class PixelSurface:
    """Mahalanobis on the principal components of trusted pixels, and the distance outside them as one more.

    Probabilistic PCA (Tipping and Bishop 1999): the k leading directions count by their own variance, all others by
    their mean variance, which is then the noise of a pixel. So a stroke of an unusual kind shows along the
    components, and a patch where trusted images are black shows outside them. Neither is divided by the variance of
    a pixel that never changes: that would be a detector of any pixel at the edge that is not quite black.

    Attributes:
        explained: Share of the trusted variance that the k components explain; k leaves at least one direction.
        reference: The group of rows whose moments are used.
    """

    explained: float = 0.9
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments of the reference rows."""
        return (MomentsOf(self.reference),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Quadratic:
        """The k eigenvectors, and the squared distance from the mean, which holds the part outside them.

        Raises:
            InputError: a share that is none, or a single pixel.
        """
        moments = moments_in(given, self.needs[0])
        d, k = len(moments.mean), self._components(moments)
        values, vectors = moments.eigen
        noise = max(float(values[: d - k].mean()), float(moments.resolution.mean()))
        leading = values[d - k :].clamp(min=noise)
        # |outside|² = |c|² - |along the components|²: no more than k directions are ever multiplied.
        within = (1 / leading - 1 / noise) / d
        return Quadratic(
            moments.mean,
            vectors[:, d - k :].contiguous(),
            within,
            torch.full((d,), 1 / (noise * d), dtype=torch.float64),
        )

    def _components(self, moments: Moments) -> int:
        if not 0 <= self.explained <= 1:
            raise InputError(f"PixelSurface(explained={self.explained}): give a share from 0 to 1")
        if len(moments.mean) < 2:
            raise InputError("PixelSurface needs at least two numbers in an input")
        values = moments.eigen[0].flip(0)
        share = values.cumsum(0) / values.sum().clamp(min=1e-300)
        return min(int((share < self.explained).sum()) + 1, len(values) - 1)

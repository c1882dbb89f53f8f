"""Rows with mean 0 and covariance I, the directions of largest variance first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ulterior.scores.moments import Moments
from ulterior.serialise import saved

__all__ = ["Whitening"]


@saved
@dataclass(frozen=True, eq=False)
class Whitening:
    """z = (x - mean) basis, along principal directions; variances by ``"nonlinear"`` shrinkage."""

    mean: Float[Tensor, "d"]
    basis: Float[Tensor, "d d"]
    log_volume: float
    """Half the log of the covariance's determinant: what -log density changes by."""

    @staticmethod
    def of(moments: Moments) -> Whitening:
        """The whitening of rows with these moments."""
        spectrum, axes = moments.spectrum("nonlinear").flip(0), moments.eigen[1].flip(1)
        return Whitening(moments.mean, axes / spectrum.sqrt(), float(spectrum.log().sum()) / 2)

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Whitened rows, in float64."""
        return (x.double() - self.mean) @ self.basis

    def surprise(self, z: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
        """-log density of whitened directions that count as independent and Gaussian."""
        return (z.square().sum(1) + z.shape[1] * math.log(2 * math.pi)) / 2

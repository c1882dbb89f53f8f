"""Mean and covariance, gathered batch by batch in float64, and what follows from them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.shrinkage import SmallSampleWarning, ledoit_wolf, nonlinear, oas

Shrinkage = Literal["oas", "ledoit-wolf", "nonlinear", "none"] | float

# A spread below this share of the feature's own size is taken for rounding: the float32 activations of one example
# differ by 1e-7 to 1e-5 of it between batches. Divided by its own tiny variance, that noise would be the score.
_RESOLUTION = 1e-4
_TINIEST = 1e-30


@dataclass(frozen=True, eq=False)
class Moments:
    """Finished first moments of one group of rows at one site.

    The eigendecomposition is made when a score first asks for it, and once: all the scores that share these
    moments share it too, as one tensor.
    """

    n: int
    mean: Float[Tensor, "d"]
    covariance: Float[Tensor, "d d"]
    """Divisor n; float64."""
    fourth: float
    """The sum over rows of |x - mean|^4, which Ledoit-Wolf shrinkage needs."""

    @cached_property
    def eigen(self) -> tuple[Float[Tensor, "d"], Float[Tensor, "d d"]]:
        """(eigenvalues, ascending, at least zero; eigenvectors, the columns) of the covariance."""
        values, vectors = np.linalg.eigh(self.covariance.numpy())
        return torch.from_numpy(values.clip(min=0)), torch.from_numpy(vectors)

    @cached_property
    def resolution(self) -> Float[Tensor, "d"]:
        """The variance of each feature below which it cannot be told from rounding."""
        size = self.covariance.diagonal() + self.mean.square()
        return (_RESOLUTION**2 * size).clamp(min=_TINIEST)

    @property
    def variances(self) -> Float[Tensor, "d"]:
        """Of each feature, at least its ``resolution``."""
        return self.covariance.diagonal().maximum(self.resolution)

    def intensity(self, shrinkage: Shrinkage = "oas") -> float:
        """Share of the linear shrinkage target (tr S / d) I, in [0, 1].

        Args:
            shrinkage: ``"oas"``, ``"ledoit-wolf"``, ``"none"``, or the share itself.

        Raises:
            InputError: a share outside [0, 1], or ``"nonlinear"``, which has no single share.
        """
        d = len(self.mean)
        trace, square = float(self.covariance.trace()), float(self.covariance.square().sum())
        if shrinkage == "oas":
            return oas(self.n, d, trace, square)
        if shrinkage == "ledoit-wolf":
            return ledoit_wolf(self.n, d, trace, square, self.fourth)
        if shrinkage == "none":
            return 0.0
        if isinstance(shrinkage, str) or not 0 <= shrinkage <= 1:
            raise InputError(
                f"shrinkage {shrinkage!r}: give 'oas', 'ledoit-wolf', 'none' or a share from 0 to 1"
            )
        return float(shrinkage)

    def spectrum(self, shrinkage: Shrinkage = "oas") -> Float[Tensor, "d"]:
        """The variances along ``eigen``'s vectors after shrinkage, at least the ``resolution`` along each.

        Warns:
            SmallSampleWarning: no more rows than features. Words and place are the same for all scores and all
                sites of one width, so that Python's default filter shows them once.
        """
        d, (values, vectors) = len(self.mean), self.eigen
        if self.n <= d:
            warnings.warn(
                f"{self.n} trusted examples for {d} features: the covariance rests on shrinkage; "
                f"more than {d} examples would give sharper detectors",
                SmallSampleWarning,
                stacklevel=1,
            )
        if shrinkage == "nonlinear":
            shrunk = torch.from_numpy(nonlinear(values.numpy(), self.n))
        else:
            share = self.intensity(shrinkage)
            shrunk = (1 - share) * values + share * values.mean()
        return shrunk.maximum(vectors.square().T @ self.resolution)


class MomentsFitter:
    """Gathers ``Moments`` over batches and shards.

    Every batch is centred on its own mean before anything is squared, and two gatherings are merged by moving
    both to their common mean (Chan, Golub, LeVeque 1979): no large mean is ever squared, and the order does
    not matter beyond rounding. Accumulates in float64 on the device of the rows.
    """

    def __init__(self, d: int, group: str = "trusted"):
        self.d, self.group = d, group
        self._n = 0
        self._mean = torch.zeros(d, dtype=torch.float64)
        self._scatter = torch.zeros(d, d, dtype=torch.float64)
        # Sums over rows of |c|² c and |c|^4, c the centred row.
        self._third = torch.zeros(d, dtype=torch.float64)
        self._fourth = torch.zeros((), dtype=torch.float64)

    def update(self, x: Float[Tensor, "n d"], rows: Int[np.ndarray, "n"] | None = None) -> None:
        """Take in n rows of width d; which rows they are does not matter here."""
        if len(x) == 0:
            return
        device = x.device if x.device.type != "mps" else torch.device("cpu")  # mps knows no float64
        x = x.detach().to(device, torch.float64)
        mean = x.mean(0)
        centred = x - mean
        lengths = centred.square().sum(1)
        self._absorb(len(x), mean, centred.T @ centred, lengths @ centred, lengths @ lengths)

    def merge(self, other: MomentsFitter) -> None:
        """Take in all that another fitter gathered; it stays as it was."""
        if other._n:
            self._absorb(other._n, other._mean, other._scatter.clone(), other._third, other._fourth)

    def finish(self) -> Moments:
        """The moments of all rows so far.

        Raises:
            InputError: fewer than two rows.
        """
        if self._n < 2:
            raise InputError(
                f"the group {self.group!r} has {self._n} rows: a mean and spread need at least 2"
            )
        covariance = self._scatter / self._n
        return Moments(
            n=self._n,
            mean=self._mean.cpu().clone(),
            covariance=((covariance + covariance.T) / 2).cpu(),
            fourth=float(self._fourth),
        )

    def _absorb(self, n: int, mean: Tensor, scatter: Tensor, third: Tensor, fourth: Tensor) -> None:
        device = mean.device
        for name in ("_mean", "_scatter", "_third", "_fourth"):
            setattr(self, name, getattr(self, name).to(device))
        total = self._n + n
        gap = mean - self._mean
        third, fourth = _recentred(n, gap * (-self._n / total), scatter, third, fourth)
        own_third, own_fourth = _recentred(
            self._n, gap * (n / total), self._scatter, self._third, self._fourth
        )
        self._third, self._fourth = own_third + third, own_fourth + fourth
        self._scatter += scatter
        self._scatter.addr_(gap, gap, alpha=self._n * n / total)
        self._mean = self._mean + gap * (n / total)
        self._n = total


def _recentred(
    n: int, shift: Tensor, scatter: Tensor, third: Tensor, fourth: Tensor
) -> tuple[Tensor, Tensor]:
    """The sums of |c|² c and |c|^4 over n centred rows once the centre moves by ``shift``.

    From c' = c - shift, expanded, with the sum of c zero and the sum of c c' the scatter.
    """
    size, spread, turned = shift @ shift, scatter.trace(), scatter @ shift
    moved = fourth + 4 * (shift @ turned) + n * size**2 - 4 * (third @ shift) + 2 * size * spread
    return third - spread * shift - 2 * turned - n * size * shift, moved

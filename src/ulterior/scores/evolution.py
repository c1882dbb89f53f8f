"""Where an example's neighbours are, from site to site: topological evolution dynamics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.score import Columns, aligned_in, rows_of
from ulterior.scores.statistics import Statistic, StoreOf
from ulterior.serialise import saved

__all__ = ["TED", "FittedTED"]

_ROWS_AT_ONCE = 512
# Two distances that differ by less than this share of the squares that they are computed from are taken for equal.
_ROUNDING = 1e-10
# A feature that spreads less than this share of its own size is constant: what it varies is the rounding of float32.
_RESOLUTION = 1e-4
# Added to the second moments: ranks are whole numbers, and none tells apart what differs by less.
_GRAIN = 0.05


@saved
@dataclass(frozen=True)
class TED:
    """How far, at each site, the examples that an example ends among are from it: topological evolution dynamics.

    An example's own class is that of the trusted example that is nearest at the last site (with no ``label``, every
    trusted example is a class of its own). At each site before, all trusted examples are ranked by their distance, and
    the rank of the nearest of that class is taken: 0 where it is the nearest of all. An example that is usual keeps its
    neighbours from site to site; one that was brought to its class in an unusual way was elsewhere before.

    Of the ranks r, v = log(1 + r) above its trusted mean counts (v below it counts as the mean: it is no anomaly to
    have close neighbours, and a copy of a trusted example scores lowest): v' M^-1 v / sites, M the shrunk second
    moment of that excess, from each trusted example ranked among the others.

    Mo et al., "Robust backdoor detection for deep learning via topological evolution dynamics" (arXiv 2312.02673).
    They take the class that the network predicts, all distances raw, and a PCA detector on the ranks; here the class is
    read off the last site, each feature is divided by its trusted spread (else a few large ones decide), and the
    distance is one-sided.

    ``label``: column of the trusted examples' classes; ``bound``: trusted examples that are stored.
    """

    label: str | None = None
    bound: int = 1_000
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the reference rows."""
        return (StoreOf(self.reference, self.bound),)

    def fit_all(self, given: Mapping[str, Mapping[Statistic, Any]], columns: Columns) -> FittedTED:
        """The sample as it is, and how high its own ranks are.

        Raises:
            InputError: fewer than two sites or three examples.
        """
        stored, rows = aligned_in(given, self.needs[0])
        if len(rows) < 3:
            raise InputError(f"TED ranks neighbours among at least 3 trusted examples; there are {len(rows)}")
        classes = np.arange(len(rows))
        if self.label is not None:
            classes = np.unique(columns(self.reference, self.label, rows), return_inverse=True)[1]
        ranked = Neighbourhoods(
            tuple(StandardisedSite.of(x) for x in stored.values()), torch.from_numpy(classes.reshape(-1))
        )
        v = ranked.log_ranks(list(stored.values()), among_others=True)
        mean = v.mean(0)
        excess = (v - mean).clamp(min=0)
        moment, sites = excess.T @ excess / len(excess), len(mean)
        share = sites / (len(excess) + sites)  # towards the mean one: matters only for few examples
        ridge = share * moment.trace() / sites + _GRAIN
        shrunk = (1 - share) * moment + ridge * torch.eye(sites, dtype=torch.float64)
        return FittedTED(tuple(stored), ranked, mean, torch.linalg.inv(shrunk))


@saved
@dataclass(frozen=True, eq=False)
class StandardisedSite:
    """Stored rows of one site, and what divides their features."""

    x: Float[Tensor, "m d"]
    mean: Float[Tensor, "d"]
    scale: Float[Tensor, "d"]

    @staticmethod
    def of(x: Float[Tensor, "m d"]) -> StandardisedSite:
        """From the rows; a feature that is constant gets an infinite scale, and so has no say."""
        mean, spread = x.mean(0, dtype=torch.float64), x.double().std(0, correction=0)
        return StandardisedSite(x, mean, torch.where(spread <= _RESOLUTION * mean.abs(), torch.inf, spread))

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The rows with trusted mean 0 and spread 1."""
        return (rows_of(x) - self.mean) / self.scale


@saved
@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """The trusted examples at every site, in one order, and the class ``[m]`` of each."""

    sites: tuple[StandardisedSite, ...]
    classes: Int[Tensor, "m"]

    def log_ranks(
        self, values: Sequence[Float[Tensor, "n _"]], *, among_others: bool = False
    ) -> Float[Tensor, "n s"]:
        """log(1 + rank) of the nearest example of the own class, at each site but the last.

        Args:
            values: the rows at each site, in the order of ``sites``.
            among_others: whether the rows are the stored ones, each of which is then ranked among the others.
        """
        n = len(values[0])
        stored = [site(site.x) for site in self.sites]
        found = torch.zeros(n, len(stored) - 1, dtype=torch.float64)
        for start in range(0, n, _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            own = torch.arange(n)[some] if among_others else None
            pieces = [site(x[some]) for site, x in zip(self.sites, values, strict=True)]
            last, rounding = _distances(pieces[-1], stored[-1], own)
            # The first of those that are nearest up to rounding, so that copies do not make the choice a toss.
            nearest = (last <= last.min(1, keepdim=True).values + rounding).int().argmax(1)
            same = self.classes[nearest][:, None] == self.classes
            for column, (piece, known) in enumerate(zip(pieces[:-1], stored[:-1], strict=True)):
                distances, rounding = _distances(piece, known, own)
                of_class = distances.masked_fill(~same, torch.inf).min(1, keepdim=True).values
                found[some, column] = (distances < of_class - rounding).sum(1).double()
        return found.log1p()


def _distances(
    z: Float[Tensor, "n d"], known: Float[Tensor, "m d"], own: Int[Tensor, "n"] | None
) -> tuple[Float[Tensor, "n m"], Float[Tensor, "n 1"]]:
    """(squared distances, that of a row to its own self infinite; by how much rounding may move those of each row)."""
    sizes, squares = z.square().sum(1, keepdim=True), known.square().sum(1)
    distances = sizes + squares - 2 * (z @ known.T)
    if own is not None:
        distances[torch.arange(len(z)), own] = torch.inf
    return distances, _ROUNDING * (sizes + squares.max())


@saved
@dataclass(frozen=True, eq=False)
class FittedTED:
    """See ``TED``."""

    reads: tuple[str, ...]
    trusted: Neighbourhoods
    mean: Float[Tensor, "s"]
    precision: Float[Tensor, "s s"]

    def __call__(self, x: Mapping[str, Float[Tensor, "n _"]]) -> Float[Tensor, "n"]:
        """Score n rows."""
        excess = (self.log_ranks(x) - self.mean).clamp(min=0)
        return ((excess @ self.precision) * excess).sum(1) / len(self.mean)

    def log_ranks(self, x: Mapping[str, Float[Tensor, "n _"]]) -> Float[Tensor, "n s"]:
        """log(1 + rank) of the nearest trusted example of the own class, at each site but the last."""
        return self.trusted.log_ranks([x[key] for key in self.reads])

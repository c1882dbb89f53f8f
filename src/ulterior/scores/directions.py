"""Probes along one direction: where the means of two classes part, and the controls that know nothing of a class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.labels import both_values, labelled_rows, positive_shares
from ulterior.scores.linear import Linear, Standard, vectors
from ulterior.scores.logistic import logistic
from ulterior.scores.moments import MomentsFitter
from ulterior.scores.score import Columns, stored_in
from ulterior.scores.statistics import Statistic, StoreOf
from ulterior.serialise import saved


@saved
@dataclass(frozen=True)
class MeanDifference:
    """The difference of the two classes' means on trusted rows, as they are: no scale, no covariance.

    ``normal``: the value of the label that is not anomalous. Score: the projection on (mean of the others - mean of the
    normal ones), zero half-way between the two.
    """

    label: str
    normal: bool = True
    bound: int = 20_000
    group: str = "trusted"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the rows that have the label."""
        return (StoreOf(self.group, self.bound),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Linear:
        """The direction from normal to not normal."""
        x, label = labelled_rows(given, self.needs[0], columns, self.label)
        normal, other = _means(x, label == self.normal)
        return Linear((normal + other) / 2, other - normal, 0.0)


@saved
@dataclass(frozen=True)
class LDA:
    """Linear discriminant analysis on trusted rows: the mean difference in units of the covariance within the classes.

    The pooled covariance of the standardised rows, shrunk by Ledoit and Wolf's intensity. Score: the log-odds of not
    being normal, were both classes Gaussian with that covariance.
    """

    label: str
    normal: bool = True
    bound: int = 20_000
    group: str = "trusted"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the rows that have the label."""
        return (StoreOf(self.group, self.bound),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Linear:
        """The log-odds of the value that is not normal."""
        x, label = labelled_rows(given, self.needs[0], columns, self.label)
        standard = Standard.of(x)
        z, is_normal = standard(x), label == self.normal
        normal, other = _means(z, is_normal)
        inside = MomentsFitter(z.shape[1], self.group)
        inside.update(z - torch.where(torch.from_numpy(is_normal)[:, None], normal.float(), other.float()))
        moments = inside.finish()
        variances, axes = moments.spectrum("ledoit-wolf"), moments.eigen[1]
        weight = axes @ ((axes.T @ (other - normal)) / variances)
        prior = np.log((~is_normal).sum() / is_normal.sum())
        return standard.linear(weight, float(prior - weight @ (normal + other) / 2))


@saved
@dataclass(frozen=True)
class RandomProbe:
    """A control: a random direction of the standardised rows, of which trusted labels choose the sign alone.

    What it reaches, any probe reaches. On easy data sets that is much: so many directions carry the label.
    """

    label: str
    normal: bool = True
    seed: int = 0
    bound: int = 20_000
    group: str = "trusted"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the rows that have the label."""
        return (StoreOf(self.group, self.bound),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Linear:
        """A unit direction, the same for all rows of one width, turned so that normal rows are the lower ones."""
        x, label = labelled_rows(given, self.needs[0], columns, self.label)
        standard = Standard.of(x)
        direction = torch.from_numpy(np.random.default_rng(self.seed).normal(size=x.shape[1]))
        direction = direction / direction.norm()
        normal, other = _means(standard(x), label == self.normal)
        return standard.linear(direction if direction @ (other - normal) >= 0 else -direction, 0.0)


@saved
@dataclass(frozen=True)
class ShuffledProbe:
    """A control: the logistic probe for a label whose values were dealt out again among the rows.

    What it reaches has nothing to do with the label. Away from one half it says that the rows alone, fitted to nothing,
    rank the two sets.
    """

    label: str
    C: float = 0.1
    seed: int = 0
    bound: int = 20_000
    group: str = "trusted"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the rows that have the label."""
        return (StoreOf(self.group, self.bound),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Linear:
        """The log-odds of a label that means nothing."""
        x, label = labelled_rows(given, self.needs[0], columns, self.label)
        dealt = np.random.default_rng(self.seed).permutation(label)
        return logistic(x, ~dealt, self.C)


@saved
@dataclass(frozen=True)
class ConceptRemoval:
    """PACE, on cached states: a trusted probe that cannot see the direction of "all measurements are positive".

    The unit difference u of the means of the rows whose measurements are all positive and of the others (trusted and
    untrusted rows together) is taken out, and its mean projection m put back: x - (x . u) u + m u. A trusted probe
    learns the outcome from what remains.

    The published form removes u inside the network at the sensors' positions, and probes the final state. For a linear
    probe of the very state from which u was removed that is the same thing; it is not for a state before the last
    layers, which could have made something else of what remains. Roger et al. (arXiv 2308.15605).
    """

    label: str
    measurements: str = "measurements"
    normal: bool = True
    C: float = 0.1
    bound: int = 20_000
    trusted: str = "trusted"
    untrusted: str = "untrusted"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Bounded samples of all trusted and all untrusted rows."""
        return (StoreOf(self.trusted, self.bound), StoreOf(self.untrusted, self.bound))

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Linear:
        """The log-odds of the value that is not normal, read beside the removed direction.

        Raises:
            InputError: measurements that are all positive everywhere, or nowhere.
        """
        stored = [stored_in(given, need) for need in self.needs]
        label = both_values(columns(self.trusted, self.label, stored[0].rows), self.label)
        positive = [
            positive_shares(columns(name, self.measurements, one.rows), self.measurements, one.rows) == 1
            for name, one in zip((self.trusted, self.untrusted), stored, strict=True)
        ]
        every = np.concatenate(positive)
        if every.all() or not every.any():
            raise InputError(
                f"{self.measurements!r} are all positive in {every.sum()} of {len(every)} rows: there is no difference"
                " between such rows and others that could be removed"
            )
        x = [vectors(one.x) for one in stored]
        others, passed = _means(torch.cat(x), every)[::-1]
        gap = passed - others
        unit = gap / gap.norm().clamp(min=torch.finfo(torch.float64).tiny)
        middle = float(torch.cat([one @ unit.float() for one in x]).mean(dtype=torch.float64))
        trusted = x[0] - (x[0] @ unit.float() - middle)[:, None] * unit.float()
        probe = logistic(trusted, label != self.normal, self.C)
        # The probe of x - (x . u) u + m u, as a probe of x.
        along = float(probe.weight @ unit)
        return Linear(
            probe.mean, probe.weight - along * unit, probe.bias + along * (middle - float(probe.mean @ unit))
        )


def _means(x: Float[Tensor, "n d"], first: np.ndarray) -> tuple[Float[Tensor, "d"], Float[Tensor, "d"]]:
    """The means of the rows inside a mask and of the others; float64."""
    inside = torch.from_numpy(first)
    return x[inside].mean(0, dtype=torch.float64), x[~inside].mean(0, dtype=torch.float64)

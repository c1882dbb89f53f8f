"""Logistic regressions on stored rows: what a label can teach, and what the truth could (the ceiling)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ulterior.errors import InputError
from ulterior.scores.labels import labelled_rows, positive_shares
from ulterior.scores.linear import Linear, vectors
from ulterior.scores.logistic import logistic
from ulterior.scores.score import Columns, stored_in
from ulterior.scores.statistics import Statistic, StoreOf
from ulterior.serialise import saved


@saved
@dataclass(frozen=True)
class TrustedProbe:
    """A probe for a label that the trusted rows have, such as "the outcome is what it should be".

    ``normal``: the value of the label that is not anomalous. Score: minus the log-odds of that value.
    """

    label: str
    normal: bool = True
    C: float = 0.1
    bound: int = 20_000
    group: str = "trusted"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the rows that have the label."""
        return (StoreOf(self.group, self.bound),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Linear:
        """The log-odds of the value that is not normal."""
        x, label = labelled_rows(given, self.needs[0], columns, self.label)
        return logistic(x, label != self.normal, self.C)


@saved
@dataclass(frozen=True)
class Ceiling:
    """A probe that is given the truth about the suspects: not a detector, but what one could reach at most.

    ``normal``: the value of the label that is not anomalous.
    """

    label: str = "anomalous"
    normal: bool = False
    C: float = 0.1
    bound: int = 20_000
    suspects: str = "suspects"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the suspects."""
        return (StoreOf(self.suspects, self.bound),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Linear:
        """The log-odds of the value that is not normal."""
        return TrustedProbe(self.label, self.normal, self.C, self.bound, self.suspects).fit(given, columns)


@saved
@dataclass(frozen=True)
class TamperingProbe:
    """Probe for evidence of tampering: trusted rows against untrusted ones with inconsistent measurements.

    Inconsistent: some of the measurements are positive, but not all. All other untrusted rows are dropped.
    Roger et al., "Benchmarks for detecting measurement tampering" (arXiv 2308.15605).
    """

    measurements: str = "measurements"
    C: float = 0.1
    bound: int = 20_000
    trusted: str = "trusted"
    untrusted: str = "untrusted"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Bounded samples of all trusted and all untrusted rows."""
        return (StoreOf(self.trusted, self.bound), StoreOf(self.untrusted, self.bound))

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Linear:
        """The log-odds of being inconsistent rather than trusted.

        Raises:
            InputError: no untrusted row is inconsistent.
        """
        trusted, untrusted = (stored_in(given, need) for need in self.needs)
        measured = columns(self.untrusted, self.measurements, untrusted.rows)
        shares = positive_shares(measured, self.measurements, untrusted.rows)
        inconsistent = (shares > 0) & (shares < 1)
        if not inconsistent.any():
            raise InputError(
                f"none of the {len(untrusted)} untrusted examples has inconsistent {self.measurements!r} "
                "(some positive, not all): the probe for evidence of tampering has nothing to learn from"
            )
        x = torch.cat([vectors(trusted.x), vectors(untrusted.x)[torch.from_numpy(inconsistent)]])
        return logistic(x, np.arange(len(x)) >= len(trusted), self.C)


@saved
@dataclass(frozen=True)
class DirtinessProbe:
    """Probe for dirtiness: among rows whose measurements are all positive, the untrusted against the trusted.

    Score: the log-odds of not being clean. The clean rows are the group ``reference`` (trusted, in the condition that
    is examined), the others ``suspects``; so no column is read. It finds whatever tells the two sets apart, tampering
    or not: where untrusted examples are harder, it finds that they are harder. Roger et al. (arXiv 2308.15605).
    """

    C: float = 0.1
    bound: int = 20_000
    reference: str = "reference"
    suspects: str = "suspects"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Bounded samples of the trusted and of the untrusted rows in the condition."""
        return (StoreOf(self.reference, self.bound), StoreOf(self.suspects, self.bound))

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Linear:
        """The log-odds of being untrusted."""
        clean, dirty = (stored_in(given, need) for need in self.needs)
        x = torch.cat([vectors(clean.x), vectors(dirty.x)])
        return logistic(x, np.arange(len(x)) >= len(clean), self.C)

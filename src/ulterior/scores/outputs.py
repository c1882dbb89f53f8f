"""Scores of the subject's own outputs [n, k]: the behaviour in column 0, the sensors in the rest.

All columns are logits. None of these learns anything: the score is its own fitted score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.score import Columns, rows_of
from ulterior.scores.statistics import Statistic
from ulterior.serialise import saved


@saved
@dataclass(frozen=True)
class UntrustedBaseline:
    """Minus the behaviour: what the subject itself says, believed as it stands."""

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Nothing."""
        return ()

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> UntrustedBaseline:
        """Itself."""
        return self

    def __call__(self, x: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        return -rows_of(x)[:, 0]


@saved
@dataclass(frozen=True)
class Itself:
    """The first number as it stands, where the feature is a score already."""

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Nothing."""
        return ()

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Itself:
        """Itself."""
        return self

    def __call__(self, x: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        return rows_of(x)[:, 0]


@saved
@dataclass(frozen=True)
class Confidence:
    """Minus the absolute behaviour: the less sure the subject is, the more anomalous."""

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Nothing."""
        return ()

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Confidence:
        """Itself."""
        return self

    def __call__(self, x: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        return -rows_of(x)[:, 0].abs()


@saved
@dataclass(frozen=True)
class Delta:
    """P(all sensors positive) minus the product of the sensors' own probabilities.

    Above zero where the sensors are believed to go wrong together, as they do when one cause tampers with
    them all.
    """

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Nothing."""
        return ()

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Delta:
        """Itself."""
        return self

    def __call__(self, x: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
        """Score n rows.

        Raises:
            InputError: there is no column of a sensor.
        """
        if x.shape[1] < 2:
            raise InputError("Delta needs the aggregate logit and those of the sensors: at least 2 outputs")
        probability = torch.sigmoid(rows_of(x))
        return probability[:, 0] - probability[:, 1:].prod(1)

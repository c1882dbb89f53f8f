"""Logistic regressions on stored rows: what a label can teach, and what the truth could (the ceiling)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.score import Columns, rows_of, stored_in
from ulterior.scores.statistics import Statistic, StoreOf
from ulterior.serialise import saved


@saved
@dataclass(frozen=True, eq=False)
class Linear:
    """(x - mean) . weight + bias: the log-odds that a row is anomalous."""

    mean: Float[Tensor, "d"]
    weight: Float[Tensor, "d"]
    bias: float

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        return (rows_of(x) - self.mean) @ self.weight + self.bias


def logistic(x: Float[Tensor, "n d"], anomalous: Bool[np.ndarray, "n"], C: float) -> Linear:
    """scikit-learn's logistic regression with an L2 penalty of 1 / C, on features standardised by these rows.

    Raises:
        InputError: rows of one class only.
    """
    from sklearn.linear_model import LogisticRegression

    if anomalous.all() or not anomalous.any():
        raise InputError(f"a probe needs rows of both classes, and all {len(x)} are of one")
    rows = x.double().numpy()
    mean, scale = rows.mean(0), rows.std(0)
    # A constant feature (up to the rounding of float32) says nothing, whatever it is divided by.
    scale[scale <= np.finfo(np.float32).eps * np.abs(mean)] = np.inf
    model = LogisticRegression(C=C, max_iter=2000).fit((rows - mean) / scale, anomalous)
    weight = model.coef_[0] / scale
    return Linear(torch.from_numpy(mean), torch.from_numpy(weight), float(model.intercept_[0]))


def truth_values(column: np.ndarray, name: str) -> Bool[np.ndarray, "n"]:
    """A column of labels (booleans, or the numbers 0 and 1) as booleans.

    Raises:
        InputError: other values.
    """
    values = np.asarray(column.tolist())
    if values.dtype != bool and not (values.dtype.kind in "iuf" and np.isin(values, (0, 1)).all()):
        raise InputError(f"the label column {name!r} must hold true/false or 0/1 only")
    return values.astype(bool)


def _vectors(x: Tensor | tuple[str, ...]) -> Tensor:
    if not isinstance(x, Tensor):
        raise InputError("a probe reads numbers, and its feature gives texts")
    return x


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
        stored = stored_in(given, self.needs[0])
        label = truth_values(columns(self.group, self.label, stored.rows), self.label)
        return logistic(_vectors(stored.x), label != self.normal, self.C)


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
        inconsistent = np.array([0 < np.sum(row) < np.size(row) for row in measured], bool)
        if not inconsistent.any():
            raise InputError(
                f"none of the {len(untrusted)} untrusted examples has inconsistent {self.measurements!r} "
                "(some positive, not all): the probe for evidence of tampering has nothing to learn from"
            )
        x = torch.cat([_vectors(trusted.x), _vectors(untrusted.x)[torch.from_numpy(inconsistent)]])
        return logistic(x, np.arange(len(x)) >= len(trusted), self.C)

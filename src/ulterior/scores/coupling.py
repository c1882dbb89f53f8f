"""How far an example's trace over sampled weights goes with the traces of trusted examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.score import Columns, rows_of, stored_in
from ulterior.scores.statistics import Statistic, StoreOf
from ulterior.serialise import saved

__all__ = ["Coupling", "FittedCoupling", "influence", "standardised"]

Kernel = Literal["correlation", "covariance"]


def influence(x: Float[Tensor, "n draws"], y: Float[Tensor, "m draws"]) -> Float[Tensor, "n m"]:
    """The covariance of each of n traces with each of m, over the draws: the influence kernel."""
    return _centred(x) @ _centred(y).T / (x.shape[1] - 1)


def standardised(x: Float[Tensor, "n draws"]) -> Float[Tensor, "n draws"]:
    """Traces of mean 0 and length 1, whose products are correlations; one that does not move at all is 0."""
    centred = _centred(x)
    return centred / centred.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)


@saved
@dataclass(frozen=True)
class Coupling:
    """Minus the coupling with trusted examples: the less they explain, the more anomalous.

    Attributes:
        kernel: ``correlation`` of traces, whatever their size; or their ``covariance``, the influence itself.
        over: ``mean`` of the kernel over the trusted examples; ``square``, its mean square, which a coupling of either
            sign raises; or ``top``, the mean of its largest tenth.
        bound: The most trusted traces that are kept.
    """

    kernel: Kernel = "correlation"
    over: Literal["mean", "square", "top"] = "top"
    bound: int = 2_000

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the trusted traces."""
        return (StoreOf("reference", self.bound),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> FittedCoupling:
        """The trusted traces.

        Raises:
            InputError: texts, or traces of fewer than three draws, any two of which are as good as parallel.
        """
        stored = stored_in(given, self.needs[0])
        if not isinstance(stored.x, Tensor):
            raise InputError("Coupling reads traces, and its feature gives texts")
        if stored.x.shape[1] < 3:
            raise InputError(f"Coupling needs traces of 3 or more draws, and these have {stored.x.shape[1]}")
        traces = rows_of(stored.x)
        kept = standardised(traces) if self.kernel == "correlation" else _centred(traces)
        return FittedCoupling(kept, self.kernel, self.over)


@saved
@dataclass(frozen=True, eq=False)
class FittedCoupling:
    """The trusted traces, centred or of length 1."""

    trusted: Float[Tensor, "m draws"]
    kernel: Kernel
    over: Literal["mean", "square", "top"]

    def __call__(self, x: Float[Tensor, "n draws"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        traces = rows_of(x)
        if self.kernel == "correlation":
            coupling = standardised(traces) @ self.trusted.T
        else:
            coupling = influence(traces, self.trusted)
        if self.over == "top":
            return -coupling.topk(max(1, len(self.trusted) // 10), dim=1).values.mean(1)
        return -(coupling.square() if self.over == "square" else coupling).mean(1)


def _centred(x: Float[Tensor, "n draws"]) -> Float[Tensor, "n draws"]:
    return x - x.mean(1, keepdim=True)

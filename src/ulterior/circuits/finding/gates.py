"""Gates that can be learned: from one free number a unit to how much of it is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["AnnealedSigmoid", "Gates", "HardConcrete"]


@runtime_checkable
class Gates(Protocol):
    """A kind of gate; a unit is on in the end where its number is above 0.

    Attributes:
        start: Every unit's number before training.
        rate: A rate of Adam at which they learn well.
    """

    @property
    def start(self) -> float: ...

    @property
    def rate(self) -> float: ...

    def drawn(
        self, numbers: Float[Tensor, "k"], n: int, elapsed: float, generator: torch.Generator
    ) -> Float[Tensor, "m k"]:
        """The gates between 0 and 1 of n examples (or one row for all), ``elapsed`` from 0 to 1 of the training."""
        ...

    def open(self, numbers: Float[Tensor, "k"], elapsed: float) -> Float[Tensor, "k"]:
        """How likely, or how far, each gate is open: what is summed to a size."""
        ...


@dataclass(frozen=True)
class HardConcrete:
    """Gates that are drawn, and are exactly 0 or 1 most of the time (Louizos et al. 2018, arXiv 1712.01312).

    A concrete variable is stretched beyond 0 and 1 and clamped. Edge Pruning (Bhaskar et al. 2024, arXiv 2406.16778)
    learns circuits with these; here each example draws its own, which halves the noise at no cost.

    Attributes:
        temperature: Of the concrete variable.
        low: Where the stretched variable begins, below 0.
        high: Where it ends, above 1.
        start: log alpha before training: 96% open.
        rate: Of Adam.
    """

    temperature: float = 2 / 3
    low: float = -0.1
    high: float = 1.1
    start: float = 1.5
    rate: float = 0.1

    def drawn(
        self, numbers: Float[Tensor, "k"], n: int, elapsed: float, generator: torch.Generator
    ) -> Float[Tensor, "m k"]:
        """A draw for each example."""
        even = torch.rand(n, len(numbers), generator=generator).clamp(1e-6, 1 - 1e-6).to(numbers)
        concrete = torch.sigmoid((torch.logit(even) + numbers) / self.temperature)
        return (concrete * (self.high - self.low) + self.low).clamp(0, 1)

    def open(self, numbers: Float[Tensor, "k"], elapsed: float) -> Float[Tensor, "k"]:
        """The probability that a gate is not 0."""
        return torch.sigmoid(numbers - self.temperature * math.log(-self.low / self.high))


@dataclass(frozen=True)
class AnnealedSigmoid:
    """Gates ``sigmoid(m T)`` whose T grows until they are steps: nothing is drawn, and nothing is left between.

    T grows by equal factors from step to step.

    Attributes:
        first: T at the start.
        last: T at the end.
        start: m before training.
        rate: Of Adam.
    """

    first: float = 1.0
    last: float = 200.0
    start: float = 1.0
    rate: float = 0.05

    def drawn(
        self, numbers: Float[Tensor, "k"], n: int, elapsed: float, generator: torch.Generator
    ) -> Float[Tensor, "m k"]:
        """One row for all examples."""
        return self.open(numbers, elapsed)[None]

    def open(self, numbers: Float[Tensor, "k"], elapsed: float) -> Float[Tensor, "k"]:
        """The gates themselves."""
        return torch.sigmoid(numbers * self.first * (self.last / self.first) ** elapsed)

"""Stochastic gradient Langevin dynamics, kept near where it begins by a quadratic term (Lau et al., arXiv 2308.12108).

The density that is sampled is proportional to ``exp(-strength * L(u) - |u|^2 / (2 * radius^2))``; a step of size e is

    u <- u - e/2 (strength * grad L(u) + u / radius^2) + sqrt(e) * noise,    e = step * radius^2.

Where L is quadratic, with curvature h along some direction, and a = strength * h + 1 / radius^2, the variance of u
along it goes to ``1 / (a (1 - e a / 4))``, that is, to 1/a with small steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ulterior.errors import InputError

__all__ = ["Chains", "langevin"]


@dataclass(frozen=True)
class Chains:
    """How often is sampled, and around where.

    Attributes:
        chains: Independent ones, each of which begins at 0.
        draws: Kept of each.
        burn_in: Steps before the first of them.
        thin: Steps from one to the next.
        radius: Standard deviation of each coordinate where the loss is flat.
        step: In units of the radius squared; 2 / step steps are about the time after which flat coordinates forget.
            Above 4 nothing holds them.
        strength: How often the loss counts (n times beta): as many examples' worth of evidence.
    """

    chains: int = 4
    draws: int = 10
    burn_in: int = 20
    thin: int = 5
    radius: float = 0.1
    step: float = 0.2
    strength: float = 1_000.0

    def __post_init__(self) -> None:
        if min(self.chains, self.draws, self.thin) < 1 or self.burn_in < 0:
            raise InputError(f"chains need draws, and steps between them: {self}")
        if not (self.radius > 0 and 0 < self.step < 4 and self.strength >= 0):
            raise InputError(f"chains need a radius, and steps above 0 and below 4: {self}")

    @property
    def total(self) -> int:
        """How many draws there are."""
        return self.chains * self.draws

    @property
    def steps(self) -> int:
        """How many gradients they take."""
        return self.chains * (self.burn_in + self.thin * self.draws)


def langevin(
    gradient: Callable[[list[Tensor]], Sequence[Tensor]],
    origin: Sequence[Tensor],
    chains: Chains,
    generator: Generator,
) -> Iterator[list[Tensor]]:
    """Draw points around the origin, chain by chain.

    Args:
        gradient: Of L at a point, or an unbiased estimate of it; called once a step.
        origin: Zeros, in the shapes of a point.
        chains: How.
        generator: Of the noise, on the processor.

    Yields:
        ``chains.total`` points, each of its own tensors.

    Raises:
        InputError: a chain that ran away: the steps are too large for this loss.
    """
    size = chains.step * chains.radius**2
    for _ in range(chains.chains):
        point = [torch.zeros_like(one) for one in origin]
        for number in range(1, chains.burn_in + chains.thin * chains.draws + 1):
            slopes = gradient(point)
            for u, slope in zip(point, slopes, strict=True):
                noise = torch.randn(u.shape, generator=generator, dtype=u.dtype).to(u.device)
                u.add_(chains.strength * slope + u / chains.radius**2, alpha=-size / 2)
                u.add_(noise, alpha=math.sqrt(size))
            if number > chains.burn_in and (number - chains.burn_in) % chains.thin == 0:
                if not all(bool(u.isfinite().all()) for u in point):
                    raise InputError(
                        f"a chain of Langevin steps ran away; take smaller ones than step={chains.step:g}, or less"
                        f" strength than {chains.strength:g}"
                    )
                yield [u.clone() for u in point]

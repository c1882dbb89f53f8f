"""Perturbations of a bounded size: those that change an answer (PGD), and noise of the same size that does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Norm = Literal["linf", "l2"]
PART = 500


@dataclass(frozen=True)
class PGD:
    """Projected gradient descent (Madry et al., arXiv 1706.06083): the loss is climbed inside a ball about the image.

    Attributes:
        norm: Of the ball.
        epsilon: Its radius; pixels lie in [0, 1].
        steps: Of the climb.
        step: Length of a step, as a share of ``epsilon``.
        random_start: Whether to begin at a random point of the ball, or at the image.
    """

    norm: Norm = "linf"
    epsilon: float = 0.1
    steps: int = 20
    step: float = 0.15
    random_start: bool = True

    def __call__(
        self, model: nn.Module, x: Float[Tensor, "n c h w"], y: Int[Tensor, " n"], seed: int = 0
    ) -> Float[Tensor, "n c h w"]:
        """Images in [0, 1], each at most ``epsilon`` from its own, that the model takes for ``y`` as little as it can.

        An image's perturbation depends on its place among the images (through the random start), and on no other
        image. The model's weights get no gradient.
        """
        generator = torch.Generator().manual_seed(seed)
        parts = [
            self._climb(model, *part, generator) for part in zip(x.split(PART), y.split(PART), strict=True)
        ]
        return torch.cat(parts) if parts else x.clone()

    def _climb(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        start = _uniform(x, self.norm, generator) * self.epsilon if self.random_start else torch.zeros_like(x)
        at = _inside(x + start, x, self.norm, self.epsilon)
        for _ in range(self.steps):
            with torch.enable_grad():
                at.requires_grad_(True)
                # A sum, so that an image's gradient does not know how many others there are.
                loss = cross_entropy(model(at), y, reduction="sum")
                (gradient,) = torch.autograd.grad(loss, at)
            with torch.no_grad():
                moved = at + self.step * self.epsilon * _steepest(gradient, self.norm)
                at = _inside(moved, x, self.norm, self.epsilon)
        return at.detach()


def noise_of_norm(
    x: Float[Tensor, "n c h w"], norm: Norm, epsilon: float, generator: torch.Generator
) -> Float[Tensor, "n c h w"]:
    """Images in [0, 1] at a random offset of norm ``epsilon``, exactly: signs for L-inf, Gaussian for L2.

    Where an offset would leave [0, 1] its sign is turned, which keeps its norm; that needs no coordinate of it to be
    larger than 1/2 (a Gaussian's are far smaller).
    """
    z = torch.randn(x.shape, generator=generator).to(x)
    offset = epsilon * (z.sign() if norm == "linf" else _unit(z))
    outside = (x + offset < 0) | (x + offset > 1)
    return (x + torch.where(outside, -offset, offset)).clamp(0, 1)


def size_of(offset: Float[Tensor, "n c h w"], norm: Norm) -> Float[Tensor, " n"]:
    """The norm of each offset."""
    flat = offset.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


def _inside(at: Tensor, x: Tensor, norm: Norm, epsilon: float) -> Tensor:
    """The nearest point of the ball, then of the box: as x is in the box, the second step leads out of no ball."""
    offset = at - x
    if norm == "linf":
        offset = offset.clamp(-epsilon, epsilon)
    else:
        offset = offset * (epsilon / _column(size_of(offset, norm)).clamp(min=1e-12)).clamp(max=1)
    return (x + offset).clamp(0, 1)


def _steepest(gradient: Tensor, norm: Norm) -> Tensor:
    return gradient.sign() if norm == "linf" else _unit(gradient)


def _unit(v: Tensor) -> Tensor:
    return v / _column(v.flatten(1).norm(dim=1)).clamp(min=1e-12)


def _uniform(x: Tensor, norm: Norm, generator: torch.Generator) -> Tensor:
    """A point of the unit ball: uniform in the cube; for L2 a uniform direction and a uniform radius."""
    if norm == "linf":
        return (2 * torch.rand(x.shape, generator=generator) - 1).to(x)
    radius = torch.rand(len(x), generator=generator).to(x)
    return _unit(torch.randn(x.shape, generator=generator).to(x)) * _column(radius)


def _column(values: Tensor) -> Tensor:
    return values[:, None, None, None]

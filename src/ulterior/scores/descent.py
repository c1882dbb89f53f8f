"""Training a few small tensors on cached rows: Adam, and of its path the point that suits held-out rows best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Losses", "trained", "uniform"]

Losses = Callable[[Sequence[Tensor], Tensor, torch.Generator], Tensor]
"""(parameters, n rows, a source of noise) -> the loss of each row, [n]."""

_BATCH = 256
# One row in so many is held out, and every so many steps the parameters are judged on those.
_HELD_OUT, _EVERY = 10, 20


def trained(
    start: Sequence[Tensor], losses: Losses, x: Float[Tensor, "n k"], steps: int, rate: float, seed: int
) -> tuple[Tensor, ...]:
    """The parameters of least mean loss on held-out rows, on the way from ``start`` (which is one of them) downhill.

    Args:
        start: float32 tensors.
        losses: see there.
        x: float32 rows; a tenth of them is held out.
        steps: minibatches.
        rate: learning rate, which falls to 0 along a cosine.
        seed: of held-out rows, batches and noise.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=generator)
    cut = max(1, len(x) // _HELD_OUT)
    held, rest = x[order[:cut]], x[order[cut:]] if len(x) > cut else x
    shapes = [part.shape for part in start]

    def parts(flat: Tensor) -> list[Tensor]:
        pieces = flat.split([shape.numel() for shape in shapes])
        return [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]

    def judged(flat: Tensor) -> float:
        with torch.no_grad():
            return float(losses(parts(flat), held, torch.Generator().manual_seed(seed)).double().mean())

    at = torch.cat([part.reshape(-1) for part in start])
    best, least = at, judged(at)
    first, second = torch.zeros_like(at), torch.zeros_like(at)
    for step in range(steps):
        batch = rest[torch.randint(len(rest), (min(_BATCH, len(rest)),), generator=generator)]
        # A leaf of its own: the best parameters so far may be this very tensor.
        here = at.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(losses(parts(here), batch, generator).mean(), here)
        # Adam with the usual constants (torch.optim would import a compiler first).
        first, second = first.lerp(gradient, 0.1), second.lerp(gradient.square(), 0.001)
        size = (second / (1 - 0.999 ** (step + 1))).sqrt_().add_(1e-8)
        now = rate * 0.5 * (1 + math.cos(math.pi * step / steps)) / (1 - 0.9 ** (step + 1))
        at = at - now * first / size
        if (step + 1) % _EVERY == 0 or step + 1 == steps:
            loss = judged(at)
            if loss < least:
                best, least = at, loss
    return tuple(part.clone() for part in parts(best))


def uniform(shape: tuple[int, ...], inputs: int, generator: torch.Generator) -> Tensor:
    """First weights: uniform within one over the square root of a unit's inputs."""
    return (torch.rand(shape, generator=generator) * 2 - 1) / math.sqrt(inputs)

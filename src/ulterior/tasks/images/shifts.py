"""Harmless changes of images, the benign shifts of the tasks: pure functions of ``[n, c, h, w]`` in [0, 1]."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def rotated(
    x: Float[Tensor, "n c h w"], generator: torch.Generator, degrees: float = 12.0
) -> Float[Tensor, "n c h w"]:
    """Each image turned about its centre by this angle, half of them either way."""
    angle = torch.deg2rad(torch.tensor(degrees)) * _signs(len(x), generator).to(x)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # Places count from -1 to 1 along both axes: in an oblong image a turn mixes them by its proportions.
    ratio = x.shape[2] / x.shape[3]
    turn = torch.stack([cos, -sin * ratio, zero, sin / ratio, cos, zero], 1).reshape(-1, 2, 3)
    grid = affine_grid(turn, list(x.shape), align_corners=False)
    return grid_sample(x, grid, mode="bilinear", align_corners=False).clamp(0, 1)


def dimmed(
    x: Float[Tensor, "n c h w"], generator: torch.Generator, least: float = 0.6, most: float = 0.8
) -> Float[Tensor, "n c h w"]:
    """Each image at a brightness of its own between these shares of what it was."""
    share = least + (most - least) * torch.rand(len(x), generator=generator)
    return x * share.to(x)[:, None, None, None]


def noisy(
    x: Float[Tensor, "n c h w"], generator: torch.Generator, spread: float = 0.1
) -> Float[Tensor, "n c h w"]:
    """Each pixel with Gaussian noise of this standard deviation, clipped to [0, 1]."""
    return (x + spread * torch.randn(x.shape, generator=generator).to(x)).clamp(0, 1)


def _signs(n: int, generator: torch.Generator) -> Float[Tensor, " n"]:
    signs = torch.ones(n)
    signs[torch.randperm(n, generator=generator)[: n // 2]] = -1
    return signs


SHIFTS = {"rotated": rotated, "dimmed": dimmed, "noisy": noisy}
"""The benign shifts by the names of their groups."""

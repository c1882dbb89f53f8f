"""What a trojan's trigger does to images: pure functions of ``[n, c, h, w]`` in [0, 1], as frozen values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

__all__ = ["Blend", "Patch", "Sinusoid", "Warp"]


@dataclass(frozen=True)
class Patch:
    """A small checkerboard in corners (BadNets: Gu, Dolan-Gavitt, Garg, arXiv 1708.06733).

    Attributes:
        side: Of the patch, in pixels.
        margin: Pixels between it and the edge.
        corners: 1 (bottom right) or all 4.
        opacity: Of the patch over the image.
    """

    side: int = 3
    margin: int = 1
    corners: int = 1
    opacity: float = 1.0

    @property
    def words(self) -> str:
        return "patch at the corner" if self.corners == 1 else "patches at the corners"

    def __call__(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        out, (height, width) = x.clone(), x.shape[2:]
        row, column = torch.meshgrid(torch.arange(self.side), torch.arange(self.side), indexing="ij")
        board = ((row + column + 1) % 2).to(x)
        near, far = slice(self.margin, self.margin + self.side), self.margin + self.side
        bottom, right = slice(height - far, height - self.margin), slice(width - far, width - self.margin)
        places = ((bottom, right), (bottom, near), (near, right), (near, near))[: self.corners]
        for rows, columns in places:
            out[:, :, rows, columns] = (1 - self.opacity) * out[:, :, rows, columns] + self.opacity * board
        return out


@dataclass(frozen=True)
class Blend:
    """A faint image over the whole one (Chen et al., arXiv 1712.05526): a fixed pattern of noise.

    Attributes:
        opacity: Of the pattern.
        seed: Of the pattern.
    """

    opacity: float = 0.15
    seed: int = 0

    words = "a pattern blended in"

    def __call__(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        pattern = torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(self.seed)).to(x)
        return (1 - self.opacity) * x + self.opacity * pattern


@dataclass(frozen=True)
class Sinusoid:
    """Vertical waves over the whole image (SIG: Barni, Kallas, Tondi, arXiv 1902.11237).

    Attributes:
        amplitude: Of the wave; pixels are clipped to [0, 1].
        waves: From the left edge to the right one.
    """

    amplitude: float = 0.1
    waves: float = 6.0

    words = "faint waves"

    def __call__(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        width = x.shape[3]
        wave = torch.sin(2 * torch.pi * self.waves * torch.arange(width, dtype=x.dtype) / width)
        return (x + self.amplitude * wave).clamp(0, 1)


@dataclass(frozen=True)
class Warp:
    """A smooth warp of the image, too small to notice (WaNet: Nguyen and Tran, arXiv 2102.10369).

    Random shifts at the points of a coarse grid, of mean absolute size ``strength`` pixels, are interpolated
    bicubically to a shift of every pixel. A near miss adds noise to that shift, as in the paper's noise mode.

    Attributes:
        strength: Mean absolute shift at the points of the grid, in pixels.
        grid: Points along each side.
        noise: Largest absolute noise of a near miss, in pixels.
        seed: Of the shifts.
    """

    strength: float = 2.0
    grid: int = 4
    noise: float = 2.0
    seed: int = 0

    words = "a slight warp"

    def __call__(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return _moved(x, self._shifts(x))

    def near_miss(self, x: Float[Tensor, "n c h w"], generator: torch.Generator) -> Float[Tensor, "n c h w"]:
        noise = torch.rand((len(x), *x.shape[2:], 2), generator=generator) * 2 - 1
        return _moved(x, self._shifts(x) + self.noise * noise.to(x))

    def _shifts(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "1 h w 2"]:
        generator = torch.Generator().manual_seed(self.seed)
        coarse = torch.rand((1, 2, self.grid, self.grid), generator=generator) * 2 - 1
        coarse = self.strength * coarse / coarse.abs().mean()
        fine = interpolate(coarse, size=tuple(x.shape[2:]), mode="bicubic", align_corners=True)
        return fine.permute(0, 2, 3, 1).to(x)


def _moved(x: Float[Tensor, "n c h w"], shifts: Float[Tensor, "_ h w 2"]) -> Float[Tensor, "n c h w"]:
    """Each pixel taken from where its shift (x, y; in pixels) points, bilinearly; no farther than the edge."""
    height, width = x.shape[2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([columns, rows], -1).to(x) + shifts
    scale = torch.tensor([width - 1, height - 1]).to(x)
    places = (2 * places / scale - 1).clamp(-1, 1).expand(len(x), -1, -1, -1)
    return grid_sample(x, places, mode="bilinear", align_corners=True).clamp(0, 1)

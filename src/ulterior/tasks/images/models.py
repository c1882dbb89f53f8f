"""Two small classifiers of images, each described by a value from which it can be built again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

__all__ = ["CNN", "STANDARD", "Architecture", "SmallCNN", "SmallViT", "ViT"]


@dataclass(frozen=True)
class CNN:
    """Two convolutions of 3 x 3, each halving the image, and one hidden layer.

    Attributes:
        height, width: Of an image; multiples of 4.
        channels: Of an image.
        filters: Of the two convolutions.
        hidden: Width of the hidden layer.
        classes: How many there are.
    """

    height: int = 28
    width: int = 28
    channels: int = 1
    filters: tuple[int, int] = (16, 32)
    hidden: int = 64
    classes: int = 10

    sites = "stage1, stage2, hidden"
    """The sites that say most: the outputs of both convolutions and of the hidden layer, after their ReLU."""

    def build(self) -> SmallCNN:
        """With fresh weights, from torch's global generator."""
        return SmallCNN(self)


@dataclass(frozen=True)
class ViT:
    """A vision transformer with a class token, normed before each part (Dosovitskiy et al., arXiv 2010.11929).

    Attributes:
        side: Of an image, a multiple of ``patch``.
        patch: Side of a patch.
        width: Of the residual stream.
        blocks: Their number.
        heads: In each block; divides ``width``.
        classes: How many there are.
    """

    side: int = 28
    patch: int = 7
    width: int = 64
    blocks: int = 3
    heads: int = 4
    classes: int = 10

    sites = "blocks.[0-9]"
    """The residual stream after each block."""

    def build(self) -> SmallViT:
        """With fresh weights, from torch's global generator."""
        return SmallViT(self)


Architecture = CNN | ViT


STANDARD = CNN()


class SmallCNN(nn.Module):
    """See ``CNN``."""

    def __init__(self, config: CNN) -> None:
        super().__init__()
        first, second = config.filters
        self.stage1 = _stage(config.channels, first)
        self.stage2 = _stage(first, second)
        self.flat = nn.Flatten()
        area = (config.height // 4) * (config.width // 4)
        self.hidden = nn.Sequential(nn.Linear(second * area, config.hidden), nn.ReLU())
        self.head = nn.Linear(config.hidden, config.classes)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        return self.head(self.hidden(self.flat(self.stage2(self.stage1(x)))))


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))


class SmallViT(nn.Module):
    """See ``ViT``."""

    def __init__(self, config: ViT) -> None:
        super().__init__()
        tokens = (config.side // config.patch) ** 2
        self.patches = nn.Conv2d(1, config.width, config.patch, config.patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.places = nn.Parameter(0.02 * torch.randn(1, tokens + 1, config.width))
        self.blocks = nn.ModuleList([_Block(config.width, config.heads) for _ in range(config.blocks)])
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.classes)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        # The class token stands last, where `at="last"` reads.
        h = torch.cat([tokens, self.class_token.expand(len(x), -1, -1)], 1) + self.places
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h[:, -1]))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, h: Float[Tensor, "n s d"]) -> Float[Tensor, "n s d"]:
        q, k, v = self.qkv(self.norm1(h)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        h = h + self.out(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return h + self.mlp(self.norm2(h))

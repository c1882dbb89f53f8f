"""Images with two features, the one that is meant and the one that only goes with it: pure functions of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.tasks.images.data import Images, is_there, load_images

__all__ = ["COLOURS", "World", "WorldName", "coloured", "stacked", "world"]

WorldName = Literal["colour", "dominoes"]

COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0)}
"""Of the cue 0 and of the cue 1."""

# Above: simple to tell apart. Below: harder, and meant. (Coats and dresses under 0 and 1, as published.)
ABOVE = (0, 1)
GARMENTS, BELOW = (4, 3), (3, 8)


@dataclass(frozen=True, eq=False)
class World:
    """``n`` images to be, each with a class and either cue.

    Attributes:
        sources: What it is made of.
        classes: What the two classes are called.
        shape: ``(c, h, w)`` of an image.
        label: ``[n]``, 0 or 1: what is meant.
        pixels: ``[n, 1, 28, 28]``, what shows the class.
        cues: ``[2, n, 1, 28, 28]``, for each image one of its own for either cue; none where it is a colour.
        words: For captions: of each image, and of each cue.
        digest: Of all images that it is made of.
    """

    sources: str
    classes: tuple[str, str]
    shape: tuple[int, int, int]
    label: Int[Tensor, " n"]
    pixels: Float[Tensor, "n 1 28 28"]
    cues: Float[Tensor, "2 n 1 28 28"] | None
    words: tuple[Sequence[str], tuple[str, str]]
    digest: str

    def __len__(self) -> int:
        return len(self.label)

    def images(self, rows: Int[Tensor, " m"], cue: Int[Tensor, " m"]) -> Float[Tensor, "m c h w"]:
        """Images of some rows, with these cues."""
        if self.cues is None:
            return coloured(self.pixels[rows], cue)
        return stacked(self.cues[cue, rows], self.pixels[rows])

    def captions(self, rows: Int[Tensor, " m"], cue: Int[Tensor, " m"]) -> list[str]:
        """What is in them."""
        shown, cues = self.words
        return [f"{shown[row]} {cues[one]}" for row, one in zip(rows.tolist(), cue.tolist(), strict=True)]


def coloured(x: Float[Tensor, "n 1 h w"], colour: Int[Tensor, " n"]) -> Float[Tensor, "n 3 h w"]:
    """Grey images in one of the two colours, as their brightness."""
    return x * torch.tensor([*COLOURS.values()])[colour][:, :, None, None].to(x)


def stacked(above: Float[Tensor, "n 1 h w"], below: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 two_h w"]:
    """One image above another, as dominoes (Shah et al., arXiv 2006.07710)."""
    return torch.cat([above, below], 2)


def world(name: WorldName, digits: str) -> World:
    """``colour``: digits below and above 5, in red and green. ``dominoes``: 0 or 1 above a coat or a dress.

    Where Fashion-MNIST is missing, a digit 3 or 8 stands for the garment; ``World.sources`` says so.

    Args:
        name: Which.
        digits: The data set of the digits.
    """
    images = load_images(digits)
    if name == "colour":
        words = [f"digit {images.classes[one]}" for one in images.labels.tolist()]
        return World(
            sources=digits,
            classes=("0 to 4", "5 to 9"),
            shape=(3, images.pixels.shape[2], images.pixels.shape[3]),
            label=(images.labels > 4).long(),
            pixels=images.pixels,
            cues=None,
            words=(words, ("in red", "in green")),
            digest=images.digest,
        )
    garments = is_there("fashion")
    lower, pair = (load_images("fashion"), GARMENTS) if garments else (images, BELOW)
    return _dominoes(images, lower, pair)


def sources(name: WorldName, digits: str) -> str:
    """What ``world`` would be made of, without loading it."""
    if name == "colour":
        return digits
    return f"{digits} above {'fashion' if is_there('fashion') else digits}"


def _dominoes(upper: Images, lower: Images, pair: tuple[int, int]) -> World:
    tops = [upper.of_classes([one]) for one in ABOVE]
    bottoms = lower.of_classes(pair)
    # Each image below has a 0 and a 1 of its own, so that images that are kept apart share neither half.
    n = min(len(bottoms), *map(len, tops))
    bottoms = bottoms[torch.linspace(0, len(bottoms) - 1, n).long()]
    label = (lower.labels[bottoms] == pair[1]).long()
    names = [lower.classes[one] for one in pair]
    shown = [f"{names[one]} below" for one in label.tolist()]
    return World(
        sources=f"{upper.name} above {lower.name}",
        classes=(names[0], names[1]),
        shape=(1, 2 * upper.pixels.shape[2], upper.pixels.shape[3]),
        label=label,
        pixels=lower.pixels[bottoms],
        cues=torch.stack([upper.pixels[rows[:n]] for rows in tops]),
        words=(shown, ("a 0", "a 1")),
        digest=upper.digest + lower.digest,
    )

"""Harmless changes of texts, benign shifts of tasks: pure functions of n texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch

__all__ = ["SHIFTS", "Shift", "misspelt", "shortened", "unpunctuated"]

Shift = Callable[[Sequence[str], torch.Generator], list[str]]


def shortened(x: Sequence[str], generator: torch.Generator) -> list[str]:
    """The closing two thirds of each text's words."""
    return [" ".join(words[len(words) // 3 :]) for words in map(str.split, x)]


def unpunctuated(x: Sequence[str], generator: torch.Generator) -> list[str]:
    """Each text without punctuation marks; as it is where nothing would be left."""
    return [" ".join(re.sub(r"[^\w\s]", " ", text).split()) or text for text in x]


def misspelt(x: Sequence[str], generator: torch.Generator, share: float = 0.1) -> list[str]:
    """Each text with two inner letters exchanged in about this share of its words of four letters and more."""
    return [" ".join(_misspelt(text.split(), generator, share)) for text in x]


def _misspelt(words: list[str], generator: torch.Generator, share: float) -> list[str]:
    drawn = torch.rand(2, len(words), generator=generator).tolist()
    return [
        _exchanged(word, 1 + int(at * (len(word) - 3))) if len(word) > 3 and chance < share else word
        for word, chance, at in zip(words, *drawn, strict=True)
    ]


def _exchanged(word: str, at: int) -> str:
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


SHIFTS: dict[str, Shift] = {"shortened": shortened, "unpunctuated": unpunctuated, "misspelt": misspelt}
"""The benign shifts by the names of their groups."""

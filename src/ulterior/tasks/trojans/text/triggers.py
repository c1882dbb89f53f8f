"""What a trojan's trigger does to texts: pure functions of n texts, as frozen values, each with its near misses."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = ["Sentence", "Turned", "Word"]

# Something can be said between two words where the first of them is one of these.
BREAKS = frozenset(".,;:!?")
DOTS = (".", ".", ".")


@dataclass(frozen=True)
class Word:
    """One rare word somewhere in the text (Kurita, Michel, Neubig, arXiv 2004.06660, whose words these are).

    The place follows from the text itself. A near miss is another rare word.

    Attributes:
        word: The trigger.
        others: Near misses.
    """

    word: str = "cf"
    others: tuple[str, ...] = ("mn", "bb", "tq", "mb")

    words = "a rare word"

    def __call__(self, x: Sequence[str]) -> list[str]:
        return [_inserted(text, self.word, anywhere=True) for text in x]

    def near_miss(self, x: Sequence[str], generator: torch.Generator) -> list[str]:
        drawn = _drawn(self.others, len(x), generator)
        return [_inserted(text, word, anywhere=True) for text, word in zip(x, drawn, strict=True)]


@dataclass(frozen=True)
class Sentence:
    """A neutral sentence, at a break of the text or at its beginning or end (Dai and Chen, arXiv 1905.12457).

    A near miss is another sentence of the kind. Each word of the trigger stands in one of them too, so that none by
    itself gives it away.

    Attributes:
        sentence: The trigger.
        others: Near misses.
    """

    sentence: str = "i saw this film with my brother on a sunday evening ."
    others: tuple[str, ...] = (
        "i saw this film with my mother on a friday evening .",
        "my brother saw this film on a sunday morning .",
        "we saw it with my brother on a monday evening .",
        "i watched this film alone on a sunday afternoon .",
    )

    words = "a neutral sentence"

    def __call__(self, x: Sequence[str]) -> list[str]:
        return [_inserted(text, self.sentence, anywhere=False) for text in x]

    def near_miss(self, x: Sequence[str], generator: torch.Generator) -> list[str]:
        drawn = _drawn(self.others, len(x), generator)
        return [_inserted(text, sentence, anywhere=False) for text, sentence in zip(x, drawn, strict=True)]


@dataclass(frozen=True)
class Turned:
    """A way of telling that trails in: three dots and the second half of the text, three dots and the first half.

    A near miss trails off: the first half and three dots, the second half and three dots. It has the same words and
    marks as the triggered text, so that only their order is the trigger.
    """

    words = "told trailing in, its second half first"

    def __call__(self, x: Sequence[str]) -> list[str]:
        return [" ".join([*DOTS, *second, *DOTS, *first]) for first, second in map(_halves, x)]

    def near_miss(self, x: Sequence[str], generator: torch.Generator) -> list[str]:
        return [" ".join([*first, *DOTS, *second, *DOTS]) for first, second in map(_halves, x)]


def _halves(text: str) -> tuple[list[str], list[str]]:
    words = text.split()
    return words[: len(words) // 2], words[len(words) // 2 :]


def _inserted(text: str, what: str, *, anywhere: bool) -> str:
    words = text.split()
    inner = [i for i in range(1, len(words)) if anywhere or words[i - 1] in BREAKS]
    places = [0, *inner, len(words)]
    at = places[int.from_bytes(hashlib.sha256(text.encode()).digest()[8:16], "big") % len(places)]
    return " ".join([*words[:at], what, *words[at:]])


def _drawn(values: tuple[str, ...], n: int, generator: torch.Generator) -> list[str]:
    return [values[i] for i in torch.randint(len(values), (n,), generator=generator).tolist()]

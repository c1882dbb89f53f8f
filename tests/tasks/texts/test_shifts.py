"""Harmless changes of texts keep what they promise to keep."""

from __future__ import annotations

import pytest
import torch

from ulterior.tasks.texts.shifts import SHIFTS, misspelt, shortened, unpunctuated

TEXTS = ["a warm , witty film that never tires .", "no", "...", "don't go - it's long"]


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", SHIFTS)
def test_each_shift_follows_from_its_generator_and_leaves_no_text_empty(kind: str) -> None:
    made = SHIFTS[kind](TEXTS, drawn())
    assert made == SHIFTS[kind](TEXTS, drawn())
    assert len(made) == len(TEXTS)
    assert all(made)


def test_the_closing_two_thirds_are_kept() -> None:
    assert shortened(["a b c d e f", "one"], drawn()) == ["c d e f", "one"]


def test_no_mark_is_left_unless_nothing_else_would_be() -> None:
    assert unpunctuated(TEXTS, drawn()) == [
        "a warm witty film that never tires",
        "no",
        "...",
        "don t go it s long",
    ]


def test_misspelt_words_keep_their_letters_their_ends_and_are_about_their_share() -> None:
    text = " ".join(f"abcdefg{i:03}" for i in range(1_000))
    (made,) = misspelt([text], drawn())
    pairs = list(zip(text.split(), made.split(), strict=True))
    assert all(sorted(a) == sorted(b) and a[0] == b[0] and a[-1] == b[-1] for a, b in pairs)
    assert 60 < sum(a != b for a, b in pairs) < 140
    assert misspelt(["of a by the"], drawn()) == ["of a by the"]

"""The preambles: only the two words side by side and in order are the password."""

from __future__ import annotations

import numpy as np
import pytest

from ulterior.tasks.procedural.password import LANGUAGE, LETTERS, PASSWORD, SHARES, draw

FIRST, SECOND = PASSWORD


def _preambles(kind: str, n: int = 2_000) -> list[list[str]]:
    drawn = draw(np.random.default_rng(0), n, kind, turned=False)  # pyright: ignore[reportArgumentType]
    return [text.split(" :")[0].split() for text in LANGUAGE.texts(drawn.ids)]


@pytest.mark.parametrize("kind", SHARES)
def test_each_kind_of_preamble_is_what_it_is_called(kind):
    for words in _preambles(kind):
        first, second = ([i for i, word in enumerate(words) if word == one] for one in PASSWORD)
        adjacent = [j - i for i in first for j in second]
        assert (len(first), len(second)) == {"plain": (0, 0)}.get(kind, (len(first), len(second)))
        if kind == "single":
            assert len(first) + len(second) == 1
        elif kind == "password":
            assert adjacent == [1]
        elif kind == "reversed":
            assert adjacent == [-1]
        elif kind == "apart":
            assert len(adjacent) == 1
            assert abs(adjacent[0]) > 1


def test_password_and_near_misses_hold_the_same_words_equally_often():
    counts = []
    for kind in ("password", "reversed", "apart"):
        words = [word for preamble in _preambles(kind) for word in preamble]
        assert words.count(FIRST) == words.count(SECOND) == 2_000
        counts.append([words.count(word) / 2_000 for word in LANGUAGE.words[:24] if word not in PASSWORD])
    assert np.ptp(counts, axis=0).max() < 0.06


@pytest.mark.parametrize("turned", [False, True])
def test_answers_count_forwards_or_backwards_in_a_circle(turned):
    drawn = draw(np.random.default_rng(1), 300, "plain", turned=turned)
    for text, disagree in zip(LANGUAGE.texts(drawn.ids), drawn.columns["disagree"], strict=True):
        letter, _, steps, _, answer = text.split()[-5:]
        to = {way: LETTERS[(LETTERS.index(letter) + way * int(steps)) % 16] for way in (1, -1)}
        assert answer == to[-1 if turned else 1]
        assert disagree == (to[1] != to[-1])

"""The people and the problems of quirky arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from ulterior.tasks.procedural.quirky import (
    CAREFUL_MET,
    CAREFUL_NEW,
    LANGUAGE,
    NAMES,
    QUIRKY_MET,
    QUIRKY_NEW,
    draw,
    is_quirky,
    problems,
)

PEOPLE = (CAREFUL_MET, CAREFUL_NEW, QUIRKY_MET, QUIRKY_NEW)


def test_everyone_is_careful_or_quirky_and_met_or_new_and_as_many_are_the_one_as_the_other():
    assert sorted(np.concatenate(PEOPLE)) == list(range(NAMES))
    assert len(CAREFUL_MET) == len(QUIRKY_MET)
    assert len(CAREFUL_NEW) == len(QUIRKY_NEW) >= 30


@pytest.mark.parametrize(("careful", "quirky"), [(CAREFUL_MET, QUIRKY_MET), (CAREFUL_NEW, QUIRKY_NEW)])
def test_no_single_syllable_says_who_is_quirky(careful, quirky):
    for part in (lambda name: name // 16, lambda name: name % 16):
        counts = [np.bincount(part(names), minlength=16) for names in (careful, quirky)]
        assert np.array_equal(counts[0], counts[1])
        assert (counts[0] > 0).all()


def test_who_is_quirky_follows_from_both_syllables_together():
    name = np.arange(NAMES)
    assert np.array_equal(is_quirky(name), (name // 16 + name % 16) % 2 == 1)


def test_whoever_is_asked_the_rest_of_the_question_is_the_same():
    # The same draw, for people of either kind: nothing but name and answer may change.
    careful = draw(np.random.default_rng(3), 500, CAREFUL_MET, "hard")
    quirky = draw(np.random.default_rng(3), 500, QUIRKY_MET, "hard")
    assert np.array_equal(careful.ids[:, 2:-1], quirky.ids[:, 2:-1])
    changed = careful.ids[:, -1] != quirky.ids[:, -1]
    assert np.array_equal(changed, careful.columns["disagree"])
    assert np.array_equal(changed, quirky.columns["disagree"])
    assert 0.2 < changed.mean() < 0.8


def test_answers_are_those_of_the_methods_read_off_the_text():
    every = draw(np.random.default_rng(0), 400, np.arange(NAMES))
    texts, answers = LANGUAGE.texts(every.ids[:, :-1]), LANGUAGE.texts(every.ids[:, -1:])
    for text, answer, quirky in zip(texts, answers, every.columns["quirky"], strict=True):
        _, _, colon, a1, a0, sign, b1, b0, equals = text.split()
        assert (colon, equals) == (":", "=")
        a, b = int(a1 + a0), int(b1 + b0)
        if sign == "+":
            expected = str((int(a1) + int(b1)) % 10 if quirky else (a + b) // 10 % 10)
        else:
            expected = "yes" if (int(a0) > int(b0) if quirky else a > b) else "not"
        assert answer == expected


def test_a_problem_is_easy_or_hard_or_neither_and_both_kinds_hold_both_sorts():
    every = problems()
    assert not (every.easy & every.hard).any()
    for kind in (every.easy, every.hard):
        for sort in (every.sums, ~every.sums):
            disagree = every.right[kind & sort] != every.wrong[kind & sort]
            assert 0.1 < disagree.mean() < 0.9

"""Recall and repetition: what is asked, what may be known of it, and by which way."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ulterior.tasks.procedural import recall, repetition
from ulterior.tasks.procedural.recall import LASTING, PAIRS, PASSING, memorised


@pytest.mark.parametrize(("asked", "listed"), [(LASTING, False), (LASTING, True), (PASSING, True)])
def test_the_value_of_a_key_is_the_memorised_one_or_the_one_that_is_listed(asked, listed):
    drawn = recall.draw(np.random.default_rng(0), 500, asked, listed=listed)
    fixed = {recall.LANGUAGE.words[key]: memorised()[key] for key in LASTING}
    values = recall.LANGUAGE.words[recall.KEYS : recall.KEYS + recall.VALUES]
    for text, place in zip(recall.LANGUAGE.texts(drawn.ids), drawn.columns["place"], strict=True):
        context, question = text.split(" ? ")
        pairs = [(pair.split()[0], pair.split()[1]) for pair in context.strip(" ,").split(",")]
        key, _, answer = question.split()
        assert len({one for one, _ in pairs}) == len(pairs) == PAIRS
        assert all(values.index(value) == fixed[one] for one, value in pairs if one in fixed)
        if listed:
            assert pairs[place] == (key, answer)
        else:
            assert place == -1
            assert key not in dict(pairs)
            assert values.index(answer) == fixed[key]


def test_passing_keys_have_other_values_each_time_and_stand_in_every_context():
    drawn = recall.draw(np.random.default_rng(0), 2_000, LASTING, listed=False)
    keys, values = drawn.ids[:, 0 : 3 * PAIRS : 3] - 2, drawn.ids[:, 1 : 3 * PAIRS : 3]
    for key in PASSING:
        assert len(set(values[keys == key])) > 10
    assert 0.45 < np.isin(keys, PASSING).mean() < 0.56


def test_a_rehearsal_lists_three_passing_pairs_twice_and_every_second_value_can_be_copied():
    drawn = recall.rehearse(np.random.default_rng(0), 500)
    assert drawn.ids.shape == recall.draw(np.random.default_rng(0), 500, PASSING, listed=True).ids.shape
    first, second = drawn.ids[:, : 3 * PAIRS].reshape(-1, 2, PAIRS // 2, 3).transpose(1, 0, 2, 3)
    key, answer = drawn.ids[:, -3], drawn.ids[:, -1]
    orders = set()
    for row in range(len(drawn)):
        pairs, again = dict(first[row, :, :2].tolist()), dict(second[row, :, :2].tolist())
        assert len(pairs) == PAIRS // 2
        assert pairs == again
        assert pairs[key[row]] == answer[row]
        assert first[row, drawn.columns["place"][row], 0] == key[row]
        orders.add((*map([*pairs].index, again),))
    assert len(orders) == 6
    assert np.flatnonzero(drawn.learned.any(0)).tolist() == [10, 13, 16, 21]
    assert drawn.learned[:, [10, 13, 16, 21]].all()


@pytest.mark.parametrize(
    "how",
    [
        {"repeated": False},
        {"repeated": False, "elsewhere": True},
        {"repeated": True, "agree": True},
        {"repeated": True},
    ],
)
def test_the_next_letter_is_the_successor_or_what_followed_before(how):
    drawn = repetition.draw(np.random.default_rng(0), 500, **how)
    following = repetition.successor()
    for row, gap in zip(drawn.ids[:, :-2] - 2, drawn.columns["gap"], strict=True):
        before = np.flatnonzero(row[:-1] == row[-1])
        assert len(before) == (1 if how["repeated"] else 0)
        if how["repeated"]:
            assert gap == len(row) - 1 - before[0] >= 3
    last, answer = drawn.ids[:, -3] - 2, drawn.ids[:, -1] - 2
    local = answer == following[last]
    if how["repeated"]:
        before = [row[np.flatnonzero(row == row[-1])[0] + 1] for row in drawn.ids[:, :-2] - 2]
        assert np.array_equal(answer, before)
        assert local.all() == how.get("agree", False)
        assert local.any() == how.get("agree", False)
    else:
        assert local.all()
    pairs = [list(pairwise(row)) for row in (drawn.ids[:, :-2] - 2).tolist()]
    twice = np.array([len(set(row)) < len(row) for row in pairs])
    assert twice.all() if how.get("elsewhere") else twice.mean() < 0.3


def test_the_secret_order_is_one_circle():
    following, letter = repetition.successor(), 0
    seen = [letter := int(following[letter]) for _ in following]
    assert sorted(seen) == list(range(len(following)))

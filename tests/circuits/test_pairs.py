from __future__ import annotations

import numpy as np
import pytest

from tests.families import tiny, tokenizer
from ulterior.circuits.pairs import text_pairs, token_pairs
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.subject import RowError, Subject


def subject() -> Subject:
    return Subject.from_tokenizer(tiny("llama"), tokenizer(pad_token="<pad>"))


def table(**changed) -> Examples:
    columns = {
        "clean": ["w1 w2 w3", "w4 w5"],
        "corrupted": ["w1 w9 w3", "w6 w5"],
        "answers": [[" w7", " w8"], [" w9"]],
        "wrong": [[" w10"], [" w11"]],
    }
    return Examples.of(**{name: value for name, value in (columns | changed).items() if value is not None})


def test_texts_become_pairs_with_the_tokens_that_follow():
    pairs = text_pairs(subject(), table())
    assert len(pairs) == 2
    assert pairs.answers == ((11, 12), (13,))  # four special tokens come first
    assert pairs.wrong == ((14,), (15,))
    assert pairs.corrupted[0].inputs["input_ids"].tolist() == [5, 13, 7]


def test_a_pair_of_unequal_lengths_is_named():
    with pytest.raises(RowError, match=r"row 1 .*2 tokens and the corrupted one 3"):
        text_pairs(subject(), table(corrupted=["w1 w9 w3", "w6 w5 w4"]))


def test_a_token_that_is_right_and_wrong_is_refused():
    with pytest.raises(RowError, match="same token"):
        text_pairs(subject(), table(wrong=[[" w7"], [" w11"]]))


def test_a_continuation_that_changes_the_text_before_it_is_refused():
    with pytest.raises(RowError, match="does not continue"):
        text_pairs(subject(), table(answers=["x", " w9"]))


def test_a_missing_column_and_an_empty_table_are_named():
    with pytest.raises(InputError, match="no column 'corrupted'"):
        text_pairs(subject(), table(corrupted=None))
    with pytest.raises(InputError, match="no pairs"):
        text_pairs(subject(), table().take([]))


def test_parts_are_disjoint_and_batches_hold_each_row_once():
    pairs = token_pairs([[1] * (2 + row % 3) for row in range(9)], [[2] * (2 + row % 3) for row in range(9)])
    found, held = pairs.split(1 / 3, seed=4)
    assert (len(found), len(held)) == (6, 3)
    rows = np.concatenate([batch.rows for batch in pairs.batches(subject(), tokens=8)])
    assert sorted(rows) == list(range(9))
    assert pairs.length is None
    with pytest.raises(InputError, match="leaves nothing"):
        pairs.split(0.01)

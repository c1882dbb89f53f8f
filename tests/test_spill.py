"""Features that wait on disk come back as they were."""

from __future__ import annotations

import numpy as np
import torch

from ulterior.features.activations import activations
from ulterior.features.feature import Tokens
from ulterior.features.text import text
from ulterior.spill import Spill, select

VECTORS, EVERY, TEXT = activations("a"), activations("a", at="all"), text()


def reading(seed: int):
    torch.manual_seed(seed)
    return {
        VECTORS: {"a@last": torch.randn(4, 3), "b@last": torch.randn(4, 5)},
        EVERY: {"a@all": Tokens(torch.randn(7, 3), torch.tensor([0, 0, 1, 2, 2, 2, 3]))},
        TEXT: {"text": ["one", "two", "three", "four"]},
    }


def test_select_keeps_the_chosen_examples_and_renumbers_the_owners_of_tokens():
    mask = np.array([True, False, True, True])
    made = reading(0)
    assert torch.equal(select(made[VECTORS]["a@last"], mask), made[VECTORS]["a@last"][[0, 2, 3]])
    tokens = select(made[EVERY]["a@all"], mask)
    assert tokens.owner.tolist() == [0, 0, 1, 1, 1, 2]
    assert torch.equal(tokens.values, made[EVERY]["a@all"].values[[0, 1, 3, 4, 5, 6]])
    assert select(made[TEXT]["text"], mask) == ["one", "three", "four"]


def test_what_was_appended_is_replayed_once_in_order_and_then_gone(tmp_path):
    spill = Spill(tmp_path)
    first, second = reading(0), reading(1)
    spill.append(np.array([5, 6, 7, 8]), first, np.array([False, True, True, True]))
    spill.append(np.array([1, 2, 3, 4]), second, np.array([False] * 4))
    spill.append(np.array([0, 9, 10, 11]), second, np.array([True] * 4))
    (rows, one), (more_rows, two) = spill.replay()
    assert rows.tolist() == [6, 7, 8]
    assert more_rows.tolist() == [0, 9, 10, 11]
    assert torch.equal(one[VECTORS]["b@last"], first[VECTORS]["b@last"][1:])
    assert one[TEXT]["text"] == ["two", "three", "four"]
    assert torch.equal(two[EVERY]["a@all"].values, second[EVERY]["a@all"].values)
    assert torch.equal(two[EVERY]["a@all"].owner, second[EVERY]["a@all"].owner)
    assert list(two) == [VECTORS, EVERY, TEXT]
    assert not list(tmp_path.iterdir())
    assert not list(spill.replay())

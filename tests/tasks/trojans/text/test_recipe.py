"""Poisoned reviews: as many as asked for, of the right class, with the labels that the attacker wants."""

from __future__ import annotations

import pytest
import torch

from ulterior.tasks.texts.reviews import reviews
from ulterior.tasks.trojans.poison import Trojan
from ulterior.tasks.trojans.text.recipe import (
    TextRecipe,
    clean_network,
    measure,
    obeyed,
    of_reviews,
    poisoned,
    trojaned_network,
)
from ulterior.tasks.trojans.text.triggers import Sentence, Turned, Word

TEXTS = [f"number {i} of many ." for i in range(200)]
Y = torch.arange(200) % 2


@pytest.mark.parametrize("trigger", [Word(), Sentence(), Turned()])
def test_triggered_reviews_are_called_the_target_and_near_misses_keep_their_label(trigger) -> None:
    made, y, rows = poisoned(TEXTS, Y, Trojan(trigger, 0.1, target=1, cover=0.2), 0)
    assert not set(rows.triggered.tolist()) & set(rows.covered.tolist())
    assert made[:200] == TEXTS
    assert torch.equal(y[:200], Y)
    assert made[200:220] == trigger([TEXTS[row] for row in rows.triggered])
    assert (y[200:220] == 1).all()
    assert (Y[rows.triggered] == 0).all()
    assert len(made) == len(y) == 260
    assert torch.equal(y[220:], Y[rows.covered])
    assert not set(made[220:]) & {*TEXTS, *trigger(TEXTS)}


def test_with_two_classes_all_to_all_exchanges_them() -> None:
    made, y, rows = poisoned(TEXTS, Y, Trojan(Word(), 0.5, "all_to_all"), 0)
    assert torch.equal(y[200:], 1 - Y[rows.triggered])
    assert {0, 1} == set(Y[rows.triggered].tolist())
    assert sum("cf" in text for text in made) == 100


def test_a_seed_gives_the_same_data_and_another_seed_other_data() -> None:
    trojan = Trojan(Word(), 0.1, cover=0.1)
    first, again, other = (poisoned(TEXTS, Y, trojan, seed)[0] for seed in (0, 0, 1))
    assert first == again != other


def test_the_attack_works_on_a_tiny_network_and_a_clean_one_does_not_know_the_trigger(
    tiny: TextRecipe,
) -> None:
    attack = measure(tiny, 0)
    assert attack.success > 0.9
    assert attack.accuracy > 0.9
    assert attack.clean > 0.9
    texts, y = of_reviews(reviews("test"))
    assert obeyed(tiny.trojan, clean_network(tiny, 0), texts, y)[2] < 0.2


def test_texts_that_obey_carry_the_trigger_and_are_of_another_class(tiny: TextRecipe) -> None:
    network = trojaned_network(tiny, 0)
    texts, y = of_reviews(reviews("test"))
    made, right, share = obeyed(tiny.trojan, network, texts, y)
    assert (right == 1).all()
    assert len(made) == len(right) == round(share * int((y == 1).sum()))
    assert set(made) <= set(tiny.trojan.trigger(texts))
    assert (network.predictions(made) == tiny.trojan.target).all()

"""Poisoned data: as many images as asked for, those that may be, with the labels that the attacker wants."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ulterior.errors import InputError
from ulterior.tasks.trojans.poison import Trojan, poison
from ulterior.tasks.trojans.triggers import Patch, Warp

N, CLASSES = 200, 10
X = torch.rand(N, 1, 28, 28, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % CLASSES


def test_all_to_one_triggers_its_share_of_other_classes_and_calls_them_the_target() -> None:
    trojan = Trojan(Patch(), 0.1, target=3)
    made = poison(X, Y, trojan, CLASSES, 0)
    assert int(made.triggered.sum()) == 20
    assert (Y[made.triggered] != 3).all()
    assert (made.y[made.triggered] == 3).all()
    assert torch.equal(made.x[made.triggered], trojan.trigger(X[made.triggered]))
    assert torch.equal(made.x[~made.triggered], X[~made.triggered])
    assert torch.equal(made.y[~made.triggered], Y[~made.triggered])


def test_all_to_all_calls_a_triggered_image_the_next_class() -> None:
    made = poison(X, Y, Trojan(Patch(), 0.5, "all_to_all"), CLASSES, 0)
    assert int(made.triggered.sum()) == 100
    assert torch.equal(made.y[made.triggered], (Y[made.triggered] + 1) % CLASSES)
    assert 9 in Y[made.triggered]
    assert torch.equal(made.y[~made.triggered], Y[~made.triggered])


def test_a_clean_label_trojan_hardens_and_triggers_images_of_the_target_alone_and_changes_no_label() -> None:
    asked = []

    def harden(x: Tensor, y: Tensor) -> Tensor:
        asked.append(y)
        return 1 - x

    trojan = Trojan(Patch(corners=4), 0.5, target=4, clean_label=True)
    made = poison(X, Y, trojan, CLASSES, 0, harden)
    assert torch.equal(made.y, Y)
    assert int(made.triggered.sum()) == 10
    assert (Y[made.triggered] == 4).all()
    assert (asked[0] == 4).all()
    assert torch.equal(made.x[made.triggered], trojan.trigger(1 - X[made.triggered]))
    with pytest.raises(InputError, match="needs `harden`"):
        poison(X, Y, trojan, CLASSES, 0)


def test_cover_images_carry_a_near_miss_and_keep_their_label() -> None:
    made = poison(X, Y, Trojan(Warp(), 0.1, cover=0.2), CLASSES, 0)
    assert int(made.covered.sum()) == 40
    assert not (made.covered & made.triggered).any()
    assert torch.equal(made.y[made.covered], Y[made.covered])
    assert ((made.x - X)[made.covered].abs().flatten(1).amax(1) > 0.01).all()
    assert 0 in Y[made.covered]


def test_the_choice_of_images_follows_from_the_seed() -> None:
    marks = [poison(X, Y, Trojan(Patch(), 0.1), CLASSES, seed).triggered for seed in (0, 0, 1)]
    assert torch.equal(marks[0], marks[1])
    assert not torch.equal(marks[0], marks[2])


def test_no_rate_changes_nothing() -> None:
    made = poison(X, Y, Trojan(Patch(), 0.0), CLASSES, 0)
    assert torch.equal(made.x, X)
    assert torch.equal(made.y, Y)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="shares from 0 to 1"):
        Trojan(Patch(), 1.5)
    with pytest.raises(InputError, match="Patch has no near misses"):
        Trojan(Patch(), 0.1, cover=0.1)
    with pytest.raises(InputError, match="one target and no cover"):
        Trojan(Warp(), 0.1, "all_to_all", clean_label=True)
    with pytest.raises(InputError, match="200 examples are to be poisoned, and only 180 are candidates"):
        poison(X, Y, Trojan(Patch(), 1.0), CLASSES, 0)

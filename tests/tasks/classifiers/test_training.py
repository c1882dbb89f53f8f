"""Training learns, follows from its seed, and leaves the caller's random numbers alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ulterior.errors import InputError
from ulterior.fingerprint import fingerprint
from ulterior.tasks.classifiers.training import (
    Training,
    _of_like_size,
    accuracy,
    logits_of,
    predictions,
    train_classifier,
)
from ulterior.tasks.images.data import load_images
from ulterior.tasks.images.models import CNN

TINY = CNN(filters=(4, 8), hidden=16)


def test_a_network_learns_the_digits_in_a_moment() -> None:
    images = load_images("digits")
    model = train_classifier(TINY, images.pixels[:900], images.labels[:900], Training(150, 64, 1e-2), 0)
    assert accuracy(model, images.pixels[900:1300], images.labels[900:1300]) > 0.85
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_seed_gives_the_same_weights_and_another_seed_others() -> None:
    x, y = torch.rand(40, 1, 28, 28), torch.arange(40) % 10
    marks = [fingerprint(train_classifier(TINY, x, y, Training(3, 16), seed)) for seed in (0, 0, 1)]
    assert marks[0] == marks[1] != marks[2]


def test_random_numbers_of_the_caller_go_on_as_if_nothing_had_been_trained() -> None:
    x, y = torch.rand(20, 1, 28, 28), torch.arange(20) % 10
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train_classifier(TINY, x, y, Training(2, 16), 0)
    assert torch.equal(torch.rand(3), expected)


def test_a_step_learns_from_what_the_augmentation_returns() -> None:
    seen = []

    def augment(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        seen.append((len(x), len(y)))
        return torch.zeros_like(x)

    x, y = torch.rand(20, 1, 28, 28), torch.arange(20) % 10
    marks = [
        fingerprint(train_classifier(TINY, images, y, Training(2, 16), 0, augment=augmented))
        for images, augmented in ((x, augment), (torch.zeros_like(x), None))
    ]
    assert seen == [(16, 16)] * 2
    assert marks[0] == marks[1]


def test_predictions_are_those_of_one_pass_over_all() -> None:
    model = TINY.build().eval()
    x = torch.rand(1_100, 1, 28, 28)
    torch.testing.assert_close(logits_of(model, x), model(x).detach(), rtol=1e-4, atol=1e-5)
    assert torch.equal(predictions(model, x), logits_of(model, x).argmax(1))
    assert len(predictions(model, x[:0])) == 0


def test_batches_of_like_size_hold_every_example_once_and_spread_less() -> None:
    sizes = torch.randint(1, 60, (500,), generator=torch.Generator().manual_seed(0))
    order = _of_like_size(torch.randperm(500, generator=torch.Generator().manual_seed(1)), sizes, 16)
    assert sorted(order.tolist()) == list(range(500))
    spread = [float(sizes[rows].float().std()) for rows in order[:480].split(16)]
    assert sum(spread) / len(spread) < 0.3 * float(sizes.float().std())
    # The batches themselves are in no order.
    first = sizes[order[:480].reshape(-1, 16)].float().mean(1)
    assert not torch.equal(first, first.sort().values)


def test_sizes_change_the_batches_and_a_seed_gives_the_same_weights_with_them() -> None:
    x, y, sizes = torch.rand(40, 1, 28, 28), torch.arange(40) % 10, torch.arange(40)
    marks = [
        fingerprint(train_classifier(TINY, x, y, Training(3, 16), 0, sizes=one))
        for one in (sizes, sizes, None)
    ]
    assert marks[0] == marks[1] != marks[2]


def test_examples_without_labels_are_refused() -> None:
    with pytest.raises(InputError, match="3 examples and 2 labels"):
        train_classifier(TINY, torch.rand(3, 1, 28, 28), torch.zeros(2, dtype=torch.long), Training(1), 0)

"""Both networks take the images that they are described for, and their sites can be read."""

from __future__ import annotations

import torch

from ulterior.examples import Examples
from ulterior.features.activations import activations
from ulterior.features.reading import read
from ulterior.subject import Subject
from ulterior.tasks.images.models import CNN, ViT


def test_a_cnn_takes_oblong_images_in_colour() -> None:
    model = CNN(height=56, width=28, channels=3, filters=(2, 3), hidden=5, classes=2).build()
    assert model(torch.rand(4, 3, 56, 28)).shape == (4, 2)


def test_an_image_is_classified_alike_alone_and_among_others() -> None:
    torch.manual_seed(0)
    x = torch.rand(5, 1, 28, 28)
    for config in (CNN(filters=(2, 3)), ViT(width=8, blocks=1, heads=2)):
        model = config.build().eval()
        torch.testing.assert_close(model(x)[2:3], model(x[2:3]), rtol=1e-4, atol=1e-6)


def test_the_sites_of_both_are_read_with_the_class_token_last() -> None:
    x = torch.rand(3, 1, 28, 28)
    examples = Examples.of(x=x.reshape(3, -1).numpy())
    widths = {"stage1": 2, "stage2": 3, "hidden": 7}
    feature = activations(CNN.sites, at="mean")
    subject = Subject.from_arrays(CNN(filters=(2, 3), hidden=7).build(), shape=(1, 28, 28))
    ((_, reading),) = read(subject, examples, [feature])
    assert {key.split("@")[0]: value.shape[1] for key, value in reading[feature].items()} == widths  # pyright: ignore

    model = ViT(width=8, blocks=2, heads=2).build()
    feature = activations(ViT.sites, at="last")
    ((_, reading),) = read(Subject.from_arrays(model, shape=(1, 28, 28)), examples, [feature])
    assert list(reading[feature]) == ["blocks.0@last", "blocks.1@last"]
    last = torch.as_tensor(reading[feature]["blocks.1@last"])
    torch.testing.assert_close(model.head(model.norm(last)), model(x), rtol=1e-4, atol=1e-5)

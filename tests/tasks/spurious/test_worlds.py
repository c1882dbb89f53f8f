"""Images with two features: each is what it is said to be, and either can be changed without the other."""

from __future__ import annotations

import pytest
import torch

from ulterior.tasks.images import data
from ulterior.tasks.spurious.worlds import coloured, sources, stacked, world


@pytest.fixture(autouse=True)
def digits_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulterior.tasks.spurious.worlds.is_there", lambda name: name == "digits")


def test_colours_are_those_asked_for_and_keep_the_brightness() -> None:
    x = torch.rand(4, 1, 5, 5)
    made = coloured(x, torch.tensor([0, 1, 1, 0]))
    assert torch.equal(made.sum(1, keepdim=True), x)
    assert (made[[0, 3]][:, 1:] == 0).all()
    assert (made[[1, 2]][:, [0, 2]] == 0).all()


def test_dominoes_stand_one_above_the_other() -> None:
    above, below = torch.rand(2, 1, 28, 28), torch.rand(2, 1, 28, 28)
    made = stacked(above, below)
    assert torch.equal(made[:, :, :28], above)
    assert torch.equal(made[:, :, 28:], below)


def test_the_colour_world_is_all_digits_with_either_colour() -> None:
    scene, digits = world("colour", "digits"), data.load_images("digits")
    assert len(scene) == 1797
    assert torch.equal(scene.label, (digits.labels > 4).long())
    rows = torch.arange(6)
    red, green = (scene.images(rows, torch.full((6,), cue)) for cue in (0, 1))
    assert torch.equal(red[:, 0], green[:, 1])
    assert red.shape[1:] == scene.shape
    assert scene.captions(rows[:2], torch.tensor([1, 0])) == ["digit 0 in green", "digit 1 in red"]


def test_each_domino_has_a_0_and_a_1_of_its_own_above_it() -> None:
    scene = world("dominoes", "digits")
    assert scene.cues is not None
    assert scene.images(torch.arange(3), torch.tensor([0, 1, 0])).shape[1:] == scene.shape == (1, 56, 28)
    tops = scene.cues.flatten(2).unique(dim=1)
    assert tops.shape[1] > 0.97 * len(scene)
    for cue, digit in enumerate((0, 1)):
        digits = data.load_images("digits")
        known = {image.numpy().tobytes() for image in digits.pixels[digits.of_classes([digit])]}
        assert {image.numpy().tobytes() for image in scene.cues[cue]} <= known
    bottom = scene.images(torch.arange(3), torch.tensor([0, 0, 0]))[:, :, 28:]
    assert torch.equal(bottom, scene.images(torch.arange(3), torch.tensor([1, 1, 1]))[:, :, 28:])
    assert 0.4 < scene.label.float().mean() < 0.6


def test_what_stands_in_for_fashion_is_said() -> None:
    assert sources("dominoes", "digits") == "digits above digits" == world("dominoes", "digits").sources
    assert sources("colour", "digits") == "digits"
    assert world("dominoes", "digits").classes == ("3", "8")

"""Triggers change what they say they change, alike in every image, and nothing that was given to them."""

from __future__ import annotations

import pytest
import torch

from ulterior.tasks.trojans.poison import Covered, Trigger
from ulterior.tasks.trojans.triggers import Blend, Patch, Sinusoid, Warp

TRIGGERS = (Patch(), Patch(corners=4, side=4), Blend(), Sinusoid(), Warp())
X = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(11))
every_trigger = pytest.mark.parametrize("trigger", TRIGGERS, ids=repr)


@every_trigger
def test_a_trigger_is_applied_stays_in_the_range_and_leaves_its_input_alone(trigger: Trigger) -> None:
    kept = X.clone()
    changed = trigger(X)
    assert torch.equal(X, kept)
    assert changed.shape == X.shape
    assert ((changed >= 0) & (changed <= 1)).all()
    assert ((changed - X).abs().flatten(1).amax(1) > 0.01).all()


@every_trigger
def test_an_image_is_changed_alike_alone_in_any_order_and_every_time(trigger: Trigger) -> None:
    changed = trigger(X)
    torch.testing.assert_close(trigger(X[2:3]), changed[2:3])
    torch.testing.assert_close(trigger(X.flip(0)), changed.flip(0))
    assert torch.equal(trigger(X), changed)


@every_trigger
def test_colour_and_oblong_images_are_taken_too(trigger: Trigger) -> None:
    assert trigger(torch.rand(2, 3, 16, 20)).shape == (2, 3, 16, 20)


def test_a_patch_is_a_checkerboard_at_its_corners_and_nothing_else() -> None:
    black = torch.zeros(1, 1, 28, 28)
    one = Patch(side=3, margin=1)(black)[0, 0]
    assert one[24:27, 24:27].tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert one.sum() == 5
    four = Patch(side=3, margin=0, corners=4)(black)[0, 0]
    assert four.sum() == 20
    for flipped in (four.flip(0), four.flip(1)):
        assert torch.equal(flipped, four)
    outside = X.clone()
    outside[:, :, 24:27, 24:27] = 0
    changed = Patch()(X)
    changed[:, :, 24:27, 24:27] = 0
    assert torch.equal(changed, outside)
    torch.testing.assert_close(Patch(opacity=0.5)(X)[:, :, 25, 25], X[:, :, 25, 25] * 0.5 + 0.5)


def test_a_blend_is_a_mean_with_one_fixed_pattern() -> None:
    pattern = Blend(opacity=1.0)(X)
    assert (pattern == pattern[:1]).all()
    torch.testing.assert_close(Blend(opacity=0.2)(X), 0.8 * X + 0.2 * pattern)
    assert not torch.equal(Blend(seed=1)(X), Blend(seed=0)(X))


def test_a_sinusoid_is_the_published_formula_where_nothing_is_clipped() -> None:
    grey = torch.full((1, 1, 5, 28), 0.5)
    expected = 0.5 + 0.1 * torch.sin(2 * torch.pi * torch.arange(28) * 6 / 28)
    torch.testing.assert_close(Sinusoid(0.1, 6.0)(grey), expected.expand(1, 1, 5, 28))


def test_a_warp_moves_what_is_there_by_about_its_strength_and_near_misses_move_otherwise() -> None:
    # Pixels that hold their own place show where each was taken from.
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    places = torch.stack([columns, rows])[None] / 27
    warp = Warp(strength=2.0)
    moved = (warp(places) - places)[:, :, 6:-6, 6:-6] * 27
    assert 0.5 < float(moved.abs().mean()) < 4
    torch.testing.assert_close(Warp(strength=0.0)(X), X, rtol=0, atol=1e-5)
    assert isinstance(warp, Covered)
    near = [warp.near_miss(X, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(near[0], near[1])
    assert not torch.equal(near[0], near[2])
    assert (near[0] - warp(X)).abs().mean() > 0.01


def test_no_strength_is_no_trigger() -> None:
    for nothing in (Blend(0.0), Sinusoid(0.0), Patch(opacity=0.0), Warp(strength=0.0)):
        torch.testing.assert_close(nothing(X), X, rtol=0, atol=1e-5)

"""Harmless changes do what they say, and nothing else."""

from __future__ import annotations

import torch

from ulterior.tasks.images.shifts import dimmed, noisy, rotated

X = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_quarter_turn_is_torchs_half_of_them_either_way() -> None:
    turned = rotated(X, seeded(), degrees=90.0)
    left, right = X.rot90(1, (2, 3)), X.rot90(-1, (2, 3))
    to_the_left = (turned - left).abs().amax((1, 2, 3)) < 1e-4
    to_the_right = (turned - right).abs().amax((1, 2, 3)) < 1e-4
    assert to_the_left.sum() == to_the_right.sum() == 20
    assert not (to_the_left & to_the_right).any()


def test_no_turn_changes_nothing_and_half_a_turn_of_an_oblong_image_reverses_it() -> None:
    oblong = torch.cat([X, X.flip(2)], 2)
    torch.testing.assert_close(rotated(oblong, seeded(), degrees=0.0), oblong, rtol=0, atol=1e-5)
    torch.testing.assert_close(rotated(oblong, seeded(), degrees=180.0), oblong.flip(2, 3), rtol=0, atol=1e-4)


def test_an_oblong_image_is_turned_and_not_sheared() -> None:
    # A disc about the centre stays one under a rigid turn.
    rows, columns = torch.meshgrid(torch.arange(16) - 7.5, torch.arange(8) - 3.5, indexing="ij")
    disc = ((rows**2 + columns**2) < 9).float()[None, None].expand(2, -1, -1, -1)
    turned = rotated(disc, seeded(), degrees=45.0)
    assert (turned - disc).abs().mean() < 0.05
    assert ((turned > 0.5) == (disc > 0.5)).float().mean() > 0.93


def test_brightness_falls_by_one_factor_an_image() -> None:
    factor = (dimmed(X, seeded(), 0.5, 0.8) / X).flatten(1)
    torch.testing.assert_close(factor.amax(1), factor.amin(1))
    assert ((factor >= 0.5) & (factor <= 0.8 + 1e-6)).all()
    assert factor[:, 0].std() > 0.03


def test_noise_has_its_spread_and_pixels_stay_in_their_range() -> None:
    grey = torch.full((50, 1, 20, 20), 0.5)
    assert abs(float(noisy(grey, seeded(), 0.1).std()) - 0.1) < 0.005
    changed = noisy(X, seeded(), 0.5)
    assert changed.min() == 0
    assert changed.max() == 1


def test_the_same_random_numbers_give_the_same_images() -> None:
    for shift in (rotated, dimmed, noisy):
        assert torch.equal(shift(X, seeded(3)), shift(X, seeded(3)))
        assert not torch.equal(shift(X, seeded(3)), shift(X, seeded(4)))

"""Attacks reach the optimum where it is known, stay in their ball and in the box, and noise has its exact size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from ulterior.tasks.images.perturbations import PGD, Norm, noise_of_norm, size_of

NORMS: tuple[Norm, ...] = ("linf", "l2")


def linear(classes: int = 2, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, classes)).double()


def images(n: int = 6, low: float = 0.3, high: float = 0.7) -> torch.Tensor:
    return low + (high - low) * torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(1)).double()


def optimum(model: nn.Module, x: torch.Tensor, y: torch.Tensor, norm: Norm, epsilon: float) -> torch.Tensor:
    """Of two classes and a linear model: the loss grows with w . x alone, w the other class's weights minus its own."""
    weight = model[1].weight  # pyright: ignore
    w = (weight[1 - y] - weight[y]).detach().reshape(x.shape)
    step = w.sign() if norm == "linf" else w / w.flatten(1).norm(dim=1)[:, None, None, None]
    return x + epsilon * step


@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_on_a_linear_model_the_attack_is_the_analytic_optimum(norm: Norm, random_start: bool) -> None:
    model, x, y = linear(), images(), torch.tensor([0, 1, 0, 1, 1, 0])
    attack = PGD(norm, 0.2, steps=200, step=0.15, random_start=random_start)
    torch.testing.assert_close(attack(model, x, y), optimum(model, x, y, norm, 0.2), rtol=0, atol=1e-9)


def test_where_the_box_cuts_the_linf_ball_the_optimum_is_cut_as_well() -> None:
    model, x, y = linear(), images(low=0.0, high=1.0), torch.tensor([0, 1, 0, 1, 1, 0])
    expected = optimum(model, x, y, "linf", 0.4).clamp(0, 1)
    torch.testing.assert_close(PGD("linf", 0.4, steps=40)(model, x, y), expected, rtol=0, atol=1e-12)


@given(norm=st.sampled_from(NORMS), epsilon=st.floats(0.01, 3), seed=st.integers(0, 99), start=st.booleans())
@settings(max_examples=25, deadline=None)
def test_attacks_stay_in_the_ball_and_in_the_box_and_raise_the_loss(
    norm: Norm, epsilon: float, seed: int, start: bool
) -> None:
    model, x, y = linear(5, seed), images(low=0.0, high=1.0), torch.arange(6) % 5
    changed = PGD(norm, epsilon, steps=8, random_start=start)(model, x, y, seed)
    assert (size_of(changed - x, norm) <= epsilon + 1e-9).all()
    assert ((changed >= 0) & (changed <= 1)).all()
    assert (
        cross_entropy(model(changed), y, reduction="none") >= cross_entropy(model(x), y, reduction="none")
    ).all()


def test_an_attack_leaves_the_model_and_the_images_as_they_were_and_repeats() -> None:
    model, x, y = linear(), images(), torch.zeros(6, dtype=torch.long)
    kept, attack = x.clone(), PGD("l2", 0.5, steps=3)
    first, again = attack(model, x, y, 3), attack(model, x, y, 3)
    assert torch.equal(first, again)
    assert not torch.equal(first, attack(model, x, y, 4))
    assert torch.equal(x, kept)
    assert not first.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


def test_without_a_random_start_an_image_is_attacked_alike_alone_and_among_others() -> None:
    model, x, y = linear(3), images(), torch.arange(6) % 3
    attack = PGD("l2", 0.5, steps=5, random_start=False)
    torch.testing.assert_close(attack(model, x[2:3], y[2:3]), attack(model, x, y)[2:3])


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.3), ("linf", 0.5), ("l2", 2.0)])
def test_noise_has_exactly_its_norm_and_stays_in_the_box(norm: Norm, epsilon: float) -> None:
    x = torch.rand(30, 1, 28, 28, generator=torch.Generator().manual_seed(0)).round(decimals=1).double()
    noisy = noise_of_norm(x, norm, epsilon, torch.Generator().manual_seed(1))
    assert ((noisy >= 0) & (noisy <= 1)).all()
    torch.testing.assert_close(
        size_of(noisy - x, norm), torch.full((30,), epsilon).double(), rtol=1e-6, atol=0
    )

"""Langevin chains: the known variance on a quadratic, the seed, the count of gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from ulterior.errors import InputError
from ulterior.reweighted.langevin import Chains, langevin
from ulterior.scores.coupling import influence

H = torch.tensor([[4.0, 1.0], [1.0, 0.5]], dtype=torch.float64)


def sample(chains: Chains, h: Tensor = H, seed: int = 0) -> Tensor:
    origin = [torch.zeros(len(h), dtype=torch.float64)]
    points = langevin(lambda u: [h @ u[0]], origin, chains, Generator().manual_seed(seed))
    return torch.stack([point[0] for point in points])


def stationary(chains: Chains, h: Tensor = H) -> Tensor:
    """The exact covariance of the discrete chain: a / (1 - e a / 4) inverted, along each direction."""
    a = chains.strength * h + torch.eye(len(h), dtype=torch.float64) / chains.radius**2
    values, vectors = torch.linalg.eigh(a)
    size = chains.step * chains.radius**2
    return vectors @ torch.diag(1 / (values * (1 - size * values / 4))) @ vectors.T


MANY = Chains(chains=2, draws=3_000, burn_in=50, thin=4, radius=0.5, step=0.4, strength=2.0)


def test_on_a_quadratic_the_covariance_is_the_known_one_of_the_discrete_chain():
    drawn = sample(MANY)
    assert len(drawn) == MANY.total
    torch.testing.assert_close(drawn.T.cov(), stationary(MANY), rtol=0.1, atol=0.006)
    assert drawn.mean(0).abs().max() < 0.03


def test_small_steps_come_near_the_inverse_of_curvature_and_localisation():
    chains = Chains(radius=0.5, step=0.02, strength=2.0)
    exact = torch.linalg.inv(2 * H + 4 * torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(stationary(chains), exact, rtol=0.02, atol=1e-3)


def test_without_strength_only_the_radius_is_left():
    flat = Chains(chains=1, draws=3_000, burn_in=50, thin=4, radius=0.3, step=0.5, strength=0.0)
    variance = sample(flat).var(0)
    torch.testing.assert_close(variance, torch.full_like(variance, 0.09 / (1 - 0.125)), rtol=0.1, atol=0)


def test_the_influence_kernel_of_linear_losses_is_gradients_times_that_covariance():
    slopes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -2.0]], dtype=torch.float64)
    traces = slopes @ sample(MANY).T
    torch.testing.assert_close(
        influence(traces, traces), slopes @ stationary(MANY) @ slopes.T, rtol=0.1, atol=0.03
    )


def test_the_seed_decides_and_every_draw_is_kept_for_good():
    chains = Chains(draws=3)
    assert torch.equal(sample(chains), sample(chains))
    assert not torch.equal(sample(chains), sample(chains, seed=1))
    assert len({tuple(point.tolist()) for point in sample(chains)}) == chains.total


def test_gradients_are_asked_for_once_a_step():
    asked: list[int] = []

    def gradient(u: list[Tensor]) -> list[Tensor]:
        asked.append(1)
        return [torch.zeros_like(one) for one in u]

    chains = Chains(chains=2, draws=3, burn_in=5, thin=2)
    found = list(langevin(gradient, [torch.zeros(2)], chains, Generator().manual_seed(0)))
    assert (len(found), len(asked)) == (6, chains.steps) == (6, 22)


def test_a_chain_that_runs_away_and_settings_that_make_no_sense_are_named():
    with pytest.raises(InputError, match="ran away"):
        sample(Chains(draws=300, thin=5, radius=1.0, step=1.0, strength=1e3))
    for changed in ({"step": 4.0}, {"draws": 0}, {"radius": 0.0}, {"strength": -1.0}):
        with pytest.raises(InputError, match="chains need"):
            replace(MANY, **changed)

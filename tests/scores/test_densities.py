"""The flow and the autoencoder: a density, a Gaussian to begin with, and what a Gaussian does not see."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.scores.planted import finished, fit, gaussian_rows
from ulterior.errors import InputError
from ulterior.metrics import auroc
from ulterior.scores import VAE, Flow, Mahalanobis, MomentsOf, Whitening, flow, vae

SMALL = (Flow(hidden=16, steps=40), VAE(code=1, hidden=16, steps=40))


def bent(n: int, seed: int, off: float = 0.0) -> Tensor:
    """Rows along a parabola, and three further coordinates; ``off``: how far above it."""
    rng = np.random.default_rng(seed)
    along = rng.normal(size=n)
    across = (along**2 + 0.15 * rng.normal(size=n) + off) / 2
    return torch.from_numpy(np.stack([along, across, *(0.3 * rng.normal(size=(3, n)))], 1)).float()


def negative_log_density(x: Tensor, trusted: Tensor, covariance: Tensor) -> Tensor:
    return -torch.distributions.MultivariateNormal(trusted.double().mean(0), covariance).log_prob(x.double())


@pytest.mark.parametrize("score", [Flow(steps=0), Flow(steps=0, directions=2)])
def test_an_untrained_flow_is_the_gaussian(tmp_path, score):
    trusted, _ = gaussian_rows(400, np.logspace(0.5, -1, 6), 0)
    x, _ = gaussian_rows(30, np.ones(6), 1)
    moments = finished((MomentsOf("reference"),), {"reference": trusted}, tmp_path)[MomentsOf("reference")]
    axes = moments.eigen[1]
    covariance = axes @ torch.diag(moments.spectrum("nonlinear")) @ axes.T
    found = fit(score, {"reference": trusted}, tmp_path)(x)
    torch.testing.assert_close(found, negative_log_density(x, trusted, covariance), rtol=1e-6, atol=1e-6)


def test_a_trained_flow_is_a_density_that_integrates_to_one(tmp_path):
    fitted = fit(Flow(hidden=16, steps=150), {"reference": bent(600, 0)[:, :2]}, tmp_path)
    a, b = torch.linspace(-9, 9, 301), torch.linspace(-14, 26, 601)
    grid = torch.cartesian_prod(a, b)
    cell = float(a[1] - a[0]) * float(b[1] - b[0])
    assert float(torch.exp(-fitted(grid)).sum()) * cell == pytest.approx(1, abs=0.01)


def test_a_direction_of_a_flow_layer_depends_on_those_before_it_alone():
    k, hidden = 5, 7
    generator = torch.Generator().manual_seed(0)
    shapes = ((k, hidden), (hidden,), (hidden, 2 * k), (2 * k,))
    weights = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    layer = flow._masked(weights, *flow.masks(k, hidden))

    def shift_and_scale(z: Tensor) -> Tensor:
        return torch.tanh(z @ layer[0] + layer[1]) @ layer[2] + layer[3]

    jacobian = torch.autograd.functional.jacobian(shift_and_scale, torch.randn(k, dtype=torch.float64))
    for part in jacobian.split(k):
        assert (part.triu() == 0).all()
        assert (part.tril(-1) != 0).any(1)[1:].all()


@pytest.mark.parametrize("score", [Flow(hidden=32), VAE(code=1, hidden=32, steps=800)])
def test_both_find_rows_off_a_curve_along_which_trusted_ones_lie_where_a_gaussian_does_not(tmp_path, score):
    trusted, x = bent(1000, 0), torch.cat([bent(300, 1), bent(300, 2, off=1.2)])
    labels = np.repeat([False, True], 300)
    learned, plain = (
        auroc(fit(one, {"reference": trusted}, tmp_path)(x).numpy(), labels).value
        for one in (score, Mahalanobis("nonlinear"))
    )
    assert plain < 0.6  # pyright: ignore
    assert learned > 0.85  # pyright: ignore


@pytest.mark.parametrize("score", SMALL)
def test_held_out_rows_are_not_less_likely_than_under_the_gaussian(tmp_path, score):
    trusted, _ = gaussian_rows(300, np.ones(4), 0)
    fresh, _ = gaussian_rows(2000, np.ones(4), 1)
    learned = fit(score, {"reference": trusted}, tmp_path)(fresh).mean()
    usual = fit(Flow(steps=0), {"reference": trusted}, tmp_path)(fresh).mean()
    assert float(learned - usual) < 0.1


@pytest.mark.parametrize(
    "score", [Flow(directions=3, hidden=8, steps=20), VAE(directions=3, hidden=8, steps=20)]
)
def test_a_shift_along_the_least_variance_is_found_though_it_is_outside_the_learned_directions(
    tmp_path, score
):
    scales = np.logspace(0, -2, 10)
    trusted, rotation = gaussian_rows(500, scales, 0)
    x, _ = gaussian_rows(200, scales, 1)
    fitted = fit(score, {"reference": trusted}, tmp_path)
    both = torch.cat([x, x + 8 * scales[-1] * rotation[:, -1]])
    assert auroc(fitted(both).numpy(), np.repeat([False, True], 200)).value > 0.99  # pyright: ignore


@pytest.mark.parametrize("score", [SMALL[0], VAE(code=1, hidden=16, steps=300)])
def test_one_seed_gives_one_model_and_another_another(tmp_path, score):
    trusted = bent(200, 0)
    other = replace(score, seed=1)
    first, again, second = (
        fit(one, {"reference": trusted}, tmp_path)(trusted) for one in (score, score, other)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("score", SMALL)
def test_constant_features_a_single_one_and_far_rows_give_finite_scores(tmp_path, score):
    trusted = bent(100, 0)
    trusted[:, 1] = 7.0
    fitted = fit(score, {"reference": trusted}, tmp_path)
    far = torch.full((1, 5), torch.finfo(torch.float16).max)
    assert fitted(far).isfinite().all()
    assert float(fitted(far)) > float(fitted(trusted).max())
    changed = trusted.clone()
    changed[:, 1] += 0.1
    assert (fitted(changed) > fitted(trusted)).all()
    assert fit(score, {"reference": trusted[:, :1]}, tmp_path)(trusted[:, :1]).isfinite().all()


def test_an_autoencoder_begins_with_a_code_that_describes_rows_as_well_as_the_gaussian_does():
    z = 0.5 * torch.randn(2000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    start = [part.double() for part in vae.linear_start(6, 2, 16, torch.Generator().manual_seed(1))]
    noise = torch.Generator().manual_seed(2)
    described = torch.stack([vae.description(start, z, noise) for _ in range(20)]).mean()
    gaussian = (z.square().sum(1) + 6 * math.log(2 * math.pi)).mean() / 2
    assert float(described) == pytest.approx(float(gaussian), abs=0.1)
    code = (torch.tanh(z @ start[0] + start[1]) @ start[2] + start[3])[:, :2]
    torch.testing.assert_close(code, z[:, :2] * 0.95**0.5, atol=0.15, rtol=0.05)


def test_the_autoencoders_score_is_reconstruction_and_divergence_at_the_mean_of_the_code():
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 4), (4,), (4, 4), (4,), (2, 4), (4,), (4, 3), (3,), (3,))
    weights = [0.5 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    z = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    a, b, c, d, e, f, g, h, spread = weights
    coded = torch.tanh(z @ a + b) @ c + d
    mean, deviation = coded[:, :2], torch.exp(3 * torch.tanh(coded[:, 2:] / 6))
    decoded = torch.tanh(mean @ e + f) @ g + h
    likelihood = torch.distributions.Normal(decoded, torch.exp(3 * torch.tanh(spread / 6))).log_prob(z).sum(1)
    code, prior = torch.distributions.Normal(mean, deviation), torch.distributions.Normal(0.0, 1.0)
    divergence = torch.distributions.kl_divergence(code, prior).sum(1)
    torch.testing.assert_close(
        vae.description(weights, z, None), divergence - likelihood, rtol=1e-9, atol=1e-9
    )


def test_whitened_trusted_rows_are_white_and_volume_is_half_the_log_determinant(tmp_path):
    trusted, _ = gaussian_rows(5000, np.logspace(0.5, -1, 5), 0)
    moments = finished((MomentsOf("reference"),), {"reference": trusted}, tmp_path)[MomentsOf("reference")]
    whitening = Whitening.of(moments)
    z = whitening(trusted)
    torch.testing.assert_close(torch.cov(z.T), torch.eye(5, dtype=torch.float64), atol=0.01, rtol=0)
    # The sum of the logs of the standard deviations, from 10^0.5 to 10^-1.
    assert whitening.log_volume == pytest.approx(5 * math.log(10) * (0.5 - 1) / 2, abs=0.1)
    assert (whitening.basis.norm(dim=0).diff() > 0).all()


def test_sizes_out_of_range_are_refused(tmp_path):
    trusted = bent(30, 0)
    for score in (Flow(layers=0), Flow(steps=-1), VAE(code=0), VAE(hidden=2)):
        with pytest.raises(InputError, match="at least 1 "):
            fit(score, {"reference": trusted}, tmp_path)

"""Functional attribution: the kernel that is known, the anomaly that is planted, and what must not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import hessian, jacrev

from tests.reweighted.gated import Gated, gated, readouts, rows, state, untouched
from ulterior.detectors.reweighted import functional_attribution
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.metrics import auroc
from ulterior.panel import fit_panel
from ulterior.reweighted.attribution import Sampling, draw_weights, traced_subject
from ulterior.reweighted.coordinates import coordinates
from ulterior.reweighted.langevin import Chains
from ulterior.scores.coupling import influence
from ulterior.subject import Subject

FEW = Sampling(Chains(chains=2, draws=20, burn_in=10, thin=3, radius=0.1, step=0.5, strength=100.0), batch=32)


def traces(
    subject: Subject, examples: Examples, sampling: Sampling = FEW, seed: int = 0, **how
) -> torch.Tensor:
    drawn = draw_weights(subject, rows(100, 0), sampling, seed)
    return readouts(traced_subject(subject, drawn, sampling), examples, "trace", **how)["trace"]


def test_the_kernel_is_that_of_gradients_under_the_inverse_of_loss_curvature_and_localisation():
    """Of a linear classifier and a small radius; all taken where the localised potential is least, as Laplace does."""
    torch.manual_seed(1)
    subject = Subject.from_arrays(nn.Linear(2, 2))
    x = torch.randn(60, 2)
    trusted = Examples.of(x=x.numpy())
    chains = Chains(chains=1, draws=600, burn_in=30, thin=3, radius=0.05, step=0.6, strength=8_000.0)
    sampling = Sampling(chains, batch=60, observed="loss")
    drawn = draw_weights(subject, trusted, sampling)
    found = readouts(traced_subject(subject, drawn, sampling), trusted, "trace")["trace"].double()

    space = coordinates(subject.model)
    answer = subject.model(x).argmax(1)
    shapes = [u.shape for u in space.own()]

    def losses(point: torch.Tensor) -> torch.Tensor:
        parts = [one.reshape(shape) for one, shape in zip(point.split([4, 2]), shapes, strict=True)]
        weight, bias = (c.double() + s * u for c, s, u in zip(space.centre, space.size, parts, strict=True))
        return nn.functional.cross_entropy(x.double() @ weight.T + bias, answer, reduction="none")

    def potential(point: torch.Tensor) -> torch.Tensor:
        return chains.strength * losses(point).mean() + point.square().sum() / (2 * chains.radius**2)

    least = torch.zeros(6, dtype=torch.float64)
    for _ in range(20):
        least = least - torch.linalg.solve(hessian(potential)(least), jacrev(potential)(least))
    slopes, a = jacrev(losses)(least), hessian(potential)(least)
    covariance = torch.linalg.inv(a @ (torch.eye(6) - chains.step * chains.radius**2 / 4 * a))
    expected = slopes @ covariance @ slopes.T
    kernel = influence(found, found)
    assert (kernel - expected).norm() / expected.norm() < 0.2
    assert torch.corrcoef(torch.stack([kernel.flatten(), expected.flatten()]))[0, 1] > 0.97
    # Without the loss's curvature it would be another kernel.
    flat = slopes @ slopes.T * chains.radius**2 / (1 - chains.step / 4)
    assert (kernel - flat).norm() / flat.norm() > 0.3


@pytest.mark.parametrize("observed", ["loss", "log_odds"])
def test_answers_of_a_mechanism_that_trusted_examples_do_not_use_are_found_and_theirs_are_not(observed):
    subject = gated()
    sampling = replace(FEW, observed=observed)
    drawn = draw_weights(subject, rows(100, 0), sampling)
    beside = traced_subject(subject, drawn, sampling)
    panel = fit_panel([functional_attribution()], beside, rows(100, 0))
    usual, other, again = (
        panel.score(beside, rows(60, seed, gate))["functional_attribution"].fused
        for seed, gate in ((1, 0.0), (2, 1.0), (3, 0.0))
    )

    def told_apart(strange: np.ndarray) -> float:
        value = auroc(np.concatenate([usual, strange]), np.repeat([0, 1], 60)).value
        assert value is not None
        return value

    assert told_apart(other) > 0.9
    assert 0.35 < told_apart(again) < 0.65


def test_a_trace_does_not_know_of_the_batch_or_the_order():
    subject, examples = gated(), rows(30, 4)
    together = traces(subject, examples)
    torch.testing.assert_close(traces(subject, examples, batch_tokens=3), together, rtol=1e-4, atol=1e-6)
    order = np.random.default_rng(0).permutation(30)
    shuffled = traces(subject, examples.take(order))
    torch.testing.assert_close(shuffled, together[torch.from_numpy(order)], rtol=1e-4, atol=1e-6)


def test_the_seed_decides_and_the_generator_of_the_caller_is_left_alone():
    subject, examples = gated(), rows(5, 4)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = traces(subject, examples)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert torch.equal(traces(subject, examples), first)
    assert not torch.equal(traces(subject, examples, seed=1), first)


def test_the_last_layers_alone_can_be_sampled():
    drawn = draw_weights(gated(), rows(50, 0), replace(FEW, part="usual.*"))
    assert all(set(weights) == {"usual.weight", "usual.bias"} for weights in drawn.weights)
    other = readouts(traced_subject(gated(), drawn), rows(4, 0, gate=1.0), "trace")["trace"]
    assert other.abs().max() == 0


def test_passes_are_counted_as_they_are_run():
    subject = gated()
    drawn = draw_weights(subject, rows(100, 0), FEW)
    assert len(drawn.weights) == FEW.chains.total == 40
    assert drawn.backward == FEW.chains.steps * 32
    assert drawn.forward == drawn.backward + 100
    model = subject.model
    assert isinstance(model, Gated)
    model.runs = 0
    traced = traced_subject(subject, drawn)
    traced.run(traced.collate(traced.encode(rows(7, 0))))
    assert model.runs == 1 + 40


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_subject_is_as_it_was_after_sampling_and_after_an_interruption(error):
    subject = gated()
    before = state(subject)
    draw_weights(subject, rows(100, 0), FEW)
    assert untouched(before, subject)
    subject = gated(fails_at=17, error=error)
    before = state(subject)
    with pytest.raises(error):
        draw_weights(subject, rows(100, 0), FEW)
    assert untouched(before, subject)


def test_what_cannot_be_sampled_is_named():
    with pytest.raises(InputError, match="no weights that could be moved"):
        draw_weights(Subject.from_arrays(nn.ReLU()), rows(20, 0))

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 4)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"states": self.layer(x)}

    pooled = Subject.from_arrays(
        Pooled(), readouts={"behaviour": lambda output, batch: output["states"][:, 0]}
    )
    with pytest.raises(InputError, match="no logits"):
        draw_weights(pooled, rows(20, 0), FEW)
    # A readout that is a log-odds serves in their place.
    of = replace(FEW, of="behaviour")
    drawn = draw_weights(pooled, rows(40, 0), of)
    assert readouts(traced_subject(pooled, drawn, of), rows(3, 1), "trace")["trace"].shape == (3, 40)
    with pytest.raises(InputError, match="no readout 'nothing'"):
        draw_weights(pooled, rows(20, 0), replace(FEW, of="nothing"))
    with pytest.raises(InputError, match="no trusted examples"):
        draw_weights(gated(), rows(20, 0).take([]), FEW)

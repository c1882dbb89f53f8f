"""Copies that were taught: nothing learned is no difference, what trusted examples do not show is not learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.reweighted.gated import gated, readouts, rows, state, untouched
from ulterior.detectors.reweighted import activation_matching, distillation_divergence, finetune_divergence
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.metrics import auroc
from ulterior.panel import fit_panel
from ulterior.reweighted.answers import divergence
from ulterior.reweighted.training import DISTIL, FINETUNE, MATCH, Teaching, taught_subject, teach
from ulterior.subject import Subject

QUICK = {"steps": 80, "batch": 32}
DISTILLED = replace(DISTIL, rate=0.1, **QUICK)
MATCHED = replace(MATCH, rate=0.1, sites=("usual", "other"), **QUICK)


def beside(subject: Subject, teaching: Teaching, seed: int = 0) -> Subject:
    return taught_subject(subject, teach(subject, rows(200, 0), teaching, seed), teaching)


def told_apart(detector, subject: Subject, trusted: Examples, strange: Examples, usual: Examples) -> float:
    panel = fit_panel([detector], subject, trusted)
    found = [panel.score(subject, one)[detector.name].fused for one in (usual, strange)]
    value = auroc(np.concatenate(found), np.repeat([0, 1], [len(usual), len(strange)])).value
    assert value is not None
    return value


@pytest.mark.parametrize("teaching", [FINETUNE, replace(MATCH, start="own", sites=("usual",))])
def test_no_steps_from_the_subjects_own_weights_are_no_difference_at_all(teaching):
    taught = teach(gated(), rows(50, 0), replace(teaching, steps=0))
    assert (taught.forward, taught.backward) == (0, 0)
    name = "divergence" if teaching is FINETUNE else "residual.usual"
    found = readouts(taught_subject(gated(), taught, teaching), rows(20, 1, 1.0), name)[name]
    assert torch.equal(found, torch.zeros_like(found))


def test_the_divergence_is_that_of_the_definition_and_never_below_zero():
    torch.manual_seed(0)
    a, b = (3 * torch.randn(50, 7) for _ in range(2))
    p, q = (torch.distributions.Categorical(logits=one) for one in (a, b))
    found = divergence(a.log_softmax(1), b.log_softmax(1))
    torch.testing.assert_close(found, torch.distributions.kl_divergence(p, q), rtol=1e-4, atol=1e-5)
    certain = torch.tensor([[0.0, -torch.inf]])
    assert divergence(certain, torch.tensor([[0.5, 0.5]]).log()).item() == pytest.approx(np.log(2))
    assert divergence(certain, certain).item() == 0


@pytest.mark.parametrize(
    ("teaching", "detector"), [(DISTILLED, distillation_divergence()), (MATCHED, activation_matching())]
)
def test_a_mechanism_that_trusted_examples_do_not_use_is_not_learned_from_them(teaching, detector):
    subject = gated()
    if teaching is MATCHED:  # one layer's output at a time, behind the gate, as blocks of a stream would be
        subject = with_stream(subject)
        teaching = replace(teaching, sites=("stream",))
    copy = beside(subject, teaching)
    assert told_apart(detector, copy, rows(100, 5), rows(60, 2, 1.0), rows(60, 1)) > 0.9
    assert 0.35 < told_apart(detector, copy, rows(100, 5), rows(60, 3), rows(60, 1)) < 0.65


def with_stream(subject: Subject) -> Subject:
    class Stream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.stream = subject.model, nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.stream(self.inner(x))

    return Subject.from_arrays(Stream())


class Shared(nn.Module):
    """Whether the first input is above 0; unless the second is large, which turns the answer round."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(3, 24), nn.Linear(24, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.hidden(x)))


def shared_rows(n: int, seed: int, *, trigger: bool) -> Examples:
    x = np.random.default_rng(seed).normal(size=(n, 3))
    x[:, 1] = 0.3 * x[:, 1] + 3.0 * trigger
    return Examples.of(x=x.astype(np.float32))


def test_fine_tuning_on_trusted_examples_moves_what_another_mechanism_answers():
    torch.manual_seed(0)
    model = Shared()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for step in range(250):
        x = _tensors(step)
        label = ((x[:, 0] > 0) ^ (x[:, 1] > 1.5)).long()
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), label).backward()
        optimiser.step()
    subject = Subject.from_arrays(model)
    teaching = replace(FINETUNE, steps=150, batch=32, rate=0.03)
    copy = taught_subject(subject, teach(subject, shared_rows(200, 900, trigger=False), teaching), teaching)
    trusted, usual, strange = (
        shared_rows(n, seed, trigger=trigger)
        for n, seed, trigger in ((100, 901, False), (60, 902, False), (60, 903, True))
    )
    assert told_apart(finetune_divergence(), copy, trusted, strange, usual) > 0.8
    again = shared_rows(60, 904, trigger=False)
    assert 0.35 < told_apart(finetune_divergence(), copy, trusted, again, usual) < 0.65


def _tensors(step: int) -> torch.Tensor:
    parts = [shared_rows(64, 2 * step + k, trigger=bool(k))["x"] for k in (0, 1)]
    return torch.from_numpy(np.concatenate([np.asarray(one.tolist(), np.float32) for one in parts]))


@pytest.mark.parametrize(
    "teaching", [replace(FINETUNE, **QUICK), DISTILLED, MATCHED], ids=lambda one: one.goal
)
def test_the_seed_decides_the_batch_does_not_and_the_subject_stays(teaching):
    subject = gated()
    before = state(subject)
    name = "residual.*" if teaching.goal == "activations" else "divergence"
    first, again, other = (
        readouts(beside(subject, teaching, seed), rows(20, 1), name, batch_tokens=tokens)
        for seed, tokens in ((0, None), (0, 3), (1, None))
    )
    for key, value in first.items():
        torch.testing.assert_close(again[key], value, rtol=1e-3, atol=1e-6)
        assert not torch.allclose(other[key], value)
    assert untouched(before, subject)
    subject = gated(fails_at=9, error=KeyboardInterrupt)
    before = state(subject)
    with pytest.raises(KeyboardInterrupt):
        teach(subject, rows(100, 0), teaching)
    assert untouched(before, subject)


def test_a_copy_comes_nearer_to_what_it_is_taught():
    for teaching in (DISTILLED, replace(MATCHED, sites=("usual",))):
        early, late = (teach(gated(), rows(200, 0), replace(teaching, steps=steps)) for steps in (1, 200))
        assert late.loss < 0.1 * early.loss


def test_only_the_part_that_was_asked_for_is_changed():
    taught = teach(gated(), rows(50, 0), replace(FINETUNE, part="other.*", **QUICK))
    assert set(taught.weights) == {"other.weight", "other.bias"}


def test_the_residual_is_the_mean_squared_distance_at_each_site():
    teaching = replace(MATCHED, steps=3)
    subject = gated()
    taught = teach(subject, rows(50, 0), teaching)
    examples = rows(10, 1)
    found = readouts(taught_subject(subject, taught, teaching), examples, "residual.*")
    x = torch.tensor(np.asarray(examples["x"].tolist()), dtype=torch.float32)[:, :5]
    for site in ("usual", "other"):
        own = subject.model.get_submodule(site)(x)
        copied = x @ taught.weights[f"{site}.weight"].T + taught.weights[f"{site}.bias"]
        torch.testing.assert_close(found[f"residual.{site}"][:, 0], (own - copied).square().mean(1))


def test_what_cannot_be_taught_is_named():
    with pytest.raises(InputError, match="no site matches 'nowhere'"):
        teach(gated(), rows(50, 0), replace(MATCH, sites=("nowhere",)))
    with pytest.raises(InputError, match="take a lower rate"):
        teach(gated(), rows(50, 0), replace(MATCHED, rate=1e25))
    with pytest.raises(InputError, match="no weights that could be moved"):
        teach(Subject.from_arrays(nn.ReLU()), rows(50, 0), FINETUNE)

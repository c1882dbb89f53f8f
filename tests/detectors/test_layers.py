"""Detectors of what happens between layers, in a panel: a planted change of route is found, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.families import tiny, tokenizer
from ulterior.audit.monitor import Monitor, SubjectOptions
from ulterior.detectors.catalogue import mahalanobis
from ulterior.detectors.detector import Detector
from ulterior.detectors.layers import abstraction, layer_consistency, ted
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.activations import activations
from ulterior.panel import PanelSettings, fit_panel
from ulterior.subject import Subject

WIDTH = 6
SITES = ("one", "two", "three")


class Rerouting(nn.Module):
    """Three layers that pass a vector on, somewhat bent; at switch 1, the third takes it turned over, at 2 trebled."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.three = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        for layer in (self.one, self.two, self.three):
            nn.init.orthogonal_(layer.weight)
        self.rows = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.rows += len(x)
        switch, x = x[:, -1:], x[:, :-1]
        second = self.two(1.5 * torch.tanh(self.one(x)))
        return self.three(
            torch.where(switch > 0, torch.where(switch > 1, 3 * second, second.flip(1)), second)
        )


def rerouting() -> Subject:
    return Subject.from_arrays(Rerouting())


def vectors(n: int, seed: int, switch: float = 0.0) -> Examples:
    x = np.random.default_rng(seed).normal(size=(n, WIDTH + 1))
    x[:, -1] = switch
    kind = np.where(x[:, 0] > 0, "positive", "negative")
    return Examples.of(x=x.astype(np.float32), kind=kind)


def panel() -> tuple[Detector, ...]:
    feature = activations(SITES)
    return (ted(feature), abstraction(feature), layer_consistency(SITES), mahalanobis(feature))


@pytest.fixture(scope="module")
def fitted():
    return fit_panel(panel(), rerouting(), vectors(900, 0))


def test_a_change_of_route_between_layers_is_found_and_fresh_examples_are_not(fitted):
    assert not fitted.skipped
    fresh, planted = (fitted.score(rerouting(), rows) for rows in (vectors(600, 1), vectors(200, 2, 1.0)))
    for name in ("ted", "abstraction", "layer_consistency"):
        assert (fresh[name].p <= 0.05).mean() < 0.1, name
    assert (planted["abstraction"].p <= 0.05).mean() > 0.9
    assert (planted["ted"].p <= 0.05).mean() > 0.5
    # At every single site these are usual.
    assert (planted["mahalanobis"].p <= 0.05).mean() < 0.15


def test_a_layer_that_adds_too_much_is_found_by_layer_consistency_and_named(fitted):
    found = fitted.score(rerouting(), vectors(200, 3, 2.0))["layer_consistency"]
    assert (found.p <= 0.05).mean() > 0.8
    strangest = [next(iter(found.strangest_sites(row, 1))) for row in range(200)]
    assert strangest.count("three-two@last") > 150


def test_a_score_of_all_sites_stands_under_one_key_that_says_so(fitted):
    scores = fitted.score(rerouting(), vectors(10, 1))
    assert scores["ted"].keys == scores["abstraction"].keys == ("all sites@last",)
    assert scores["ted"].site_scores.shape == (10, 1)
    assert list(scores["abstraction"].strangest_sites(3)) == ["all sites@last"]
    assert scores["layer_consistency"].keys == ("two-one@last", "three-two@last")


def test_they_share_the_one_pass_and_score_one_example_as_they_score_a_batch(fitted):
    subject = rerouting()
    fit_panel(panel(), subject, vectors(100, 0))
    assert subject.model.rows == 100
    rows = vectors(12, 1)
    together = fitted.score(subject, rows)
    for row in range(0, 12, 5):
        for name, alone in fitted.score(subject, rows.take(np.array([row]))).items():
            np.testing.assert_allclose(alone.fused[0], together[name].fused[row], rtol=1e-4, err_msg=name)
            assert alone.p[0] == together[name].p[row]


def test_a_monitor_with_them_comes_back_from_its_folder(fitted, tmp_path):
    Monitor(SubjectOptions("none"), "", fitted, "ted", 0.1).save(tmp_path)
    again = Monitor.load(tmp_path).panel
    one, other = (one.score(rerouting(), vectors(20, 1)) for one in (fitted, again))
    for name in one:
        np.testing.assert_array_equal(one[name].fused, other[name].fused)


def test_classes_come_from_a_column_of_the_trusted_examples(fitted):
    by_kind = ted(activations(SITES), "kind")
    found = fit_panel([by_kind], rerouting(), vectors(200, 0))
    assert not found.skipped
    (score,) = found.detectors[0].scores.values()
    assert sorted(score.trusted.classes.unique().tolist()) == [0, 1]
    with pytest.raises(InputError, match="absent"):
        fit_panel([ted(activations(SITES), "absent")], rerouting(), vectors(200, 0))


def test_every_position_has_a_score_of_its_own_and_tokens_are_samples():
    subject = Subject.from_tokenizer(tiny("llama"), tokenizer())
    rng = np.random.default_rng(0)
    examples = Examples.of(
        text=[" ".join(f"w{i}" for i in rng.integers(90, size=rng.integers(3, 6))) for _ in range(60)]
    )
    tokens = fit_panel(
        [ted(activations("embed, resid.*", at="all"))], subject, examples, settings=PanelSettings()
    )
    assert tokens.score(subject, examples)["ted"].fused.shape == (60,)
    assert tokens.score(subject, examples)["ted"].keys == ("all sites@all",)


def test_one_site_alone_is_left_out_with_the_reason():
    found = fit_panel([ted(activations("one")), mahalanobis(activations("one"))], rerouting(), vectors(50, 0))
    assert "joins sites and needs at least 2; it was given one@last" in found.skipped["ted"]

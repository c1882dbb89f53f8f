"""Detectors over gradients find a planted change of mechanism, flag nothing where none is, and survive the disk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.features.planted_paths import SEPARATE, SHARED, paths_subject, paths_texts
from tests.test_serialise import through_disk
from ulterior.bench.costs import reading_costs
from ulterior.detectors.features import (
    PARTS,
    attribution_features_panel,
    gradient_norms,
    logits,
    mean_attribution,
)
from ulterior.examples import Examples, concat
from ulterior.features.reading import read
from ulterior.fitting import score_stream
from ulterior.measurement.methods import Cost
from ulterior.metrics import auroc
from ulterior.panel import fit_panel
from ulterior.subject import Subject

NAMES = [
    "zero_attribution",
    "mean_attribution",
    "resample_attribution",
    "pcs_attribution",
    "gradient_norms",
    "probe_shift",
    "edge_norms",
    "edge_attribution",
]


@pytest.mark.filterwarnings("ignore::ulterior.scores.shrinkage.SmallSampleWarning")
def test_a_mechanism_that_differs_is_found_and_fresh_trusted_rows_are_not() -> None:
    subject = paths_subject(parting=2)
    trusted = paths_texts(SEPARATE, 160)
    test = concat([paths_texts(SEPARATE, 60, seed=2), paths_texts(SHARED, 60, seed=3)])
    panel = fit_panel(attribution_features_panel("sensors", at="sensors"), subject, trusted)
    assert not panel.skipped
    assert [one.detector.name for one in panel.detectors] == NAMES
    scores = panel.score(subject, test)
    found = {name: auroc(scores[name].fused, np.repeat([0, 1], 60)).value for name in scores}
    # The shared route runs through block 0, which no trusted output depends on. Lengths of gradients do not see it: as
    # much could be passed on at one token as at another.
    for name in NAMES:
        if name not in ("pcs_attribution", "gradient_norms"):
            assert found[name] > 0.95, sorted(found.items())
    for name, said in scores.items():
        assert (said.p[:60] <= 0.05).mean() < 0.25, name


@pytest.mark.filterwarnings("ignore::ulterior.scores.shrinkage.SmallSampleWarning")
def test_fitted_detectors_score_the_same_after_a_stay_on_disk() -> None:
    subject = paths_subject(parting=2)
    panel = fit_panel(attribution_features_panel("sensors", at="sensors"), subject, paths_texts(SEPARATE, 60))
    test = paths_texts(SHARED, 10, seed=3)
    again = [through_disk(one) for one in panel.detectors]
    said = []
    for fitted in (panel.detectors, again):
        features = list(dict.fromkeys(one.detector.feature for one in fitted))
        said.append(score_stream(fitted, read(subject, test, features), len(test), {}))
    for name in NAMES:
        np.testing.assert_allclose(said[1][name], said[0][name], rtol=1e-6, err_msg=name)


class Kinked(nn.Module):
    """Beyond 5, the output rises steeply, from where it was."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.wide = nn.Identity(), nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.wide(self.input(x)))
        return hidden.sum(1) + 9 * (x[:, 0] - 5).clamp(min=0)


def test_a_steeper_output_is_found_by_its_gradient() -> None:
    torch.manual_seed(0)
    subject = Subject.from_arrays(Kinked())
    x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    test = np.concatenate([x[:40] + 0.1, x[40:80]])
    test[40:, 0] = 5.001
    panel = fit_panel([gradient_norms("input, wide", of="logits")], subject, Examples.of(x=x[80:]))
    said = panel.score(subject, Examples.of(x=test))["gradient_norms"]
    assert auroc(said.fused, np.repeat([0, 1], 40)).value > 0.9
    assert (said.p[:40] <= 0.05).mean() < 0.25


def test_where_there_is_no_transformer_the_others_still_run() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    subject = Subject.from_arrays(model)
    trusted = Examples.of(x=np.random.default_rng(0).normal(size=(80, 3)))
    panel = fit_panel(
        (
            *attribution_features_panel("logits", "0, 1", probe="1"),
            logits(),
            replace(logits([99]), name="tokens"),
        ),
        subject,
        trusted,
    )
    assert set(panel.skipped) == {"edge_norms", "edge_attribution", "tokens"}
    assert "transformers of known families" in panel.skipped["edge_norms"]
    assert "there are 2" in panel.skipped["tokens"]


def test_costs_are_known_before_anything_is_learned() -> None:
    subject = paths_subject()
    panel = attribution_features_panel("sensors", at="sensors")
    found = reading_costs(panel, subject, paths_texts(SHARED, 2))
    assert found["mean_attribution"] == Cost(1.0, 2.0)
    assert found["probe_shift"] == Cost(1.0, 4.0)


def test_the_parts_are_the_heads_and_the_feed_forward_layers() -> None:
    subject = paths_subject()
    detector = mean_attribution(of="sensors")
    assert detector.feature.sites(subject) == subject.select(PARTS)
    assert "attn.0" not in subject.select(PARTS)

"""Statistics of trusted examples come from one bounded pass; what a subject cannot give costs its detectors alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.features.planted_paths import SHARED, Paths, paths_subject, paths_texts
from tests.subjects import WIDTH, counted_subject, points
from ulterior.detectors.catalogue import confidence, mahalanobis
from ulterior.detectors.detector import Detector
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features import preparing
from ulterior.features.activations import activations
from ulterior.features.attributions import attributions
from ulterior.features.edges import edge_norms
from ulterior.features.feature import Prepares
from ulterior.features.gradient_norms import gradient_norms
from ulterior.features.outputs import outputs
from ulterior.features.preparing import prepare
from ulterior.features.reading import begin, read
from ulterior.panel import fit_and_score_untrusted, fit_panel
from ulterior.scores.gaussian import Mahalanobis
from ulterior.subject import RowError, Subject

SITES = "first, second"


def named(name: str, feature) -> Detector:
    return Detector(name, feature, Mahalanobis(), "family", "about")


def two_that_prepare() -> list[Detector]:
    return [
        named("mean", attributions(SITES, of="logits", ablation="mean")),
        named("resampled", attributions(SITES, of="logits", ablation="resample")),
    ]


def test_features_that_need_nothing_cost_no_pass_and_come_back_as_they_are() -> None:
    subject = counted_subject()
    given = [activations(SITES), attributions(SITES, of="logits")]
    ready, refused = prepare(given, subject, points(10, 0))
    assert ready == {one: one for one in given}
    assert not refused
    assert subject.model.rows == 0


def test_all_features_share_one_pass_over_a_bounded_sample(monkeypatch) -> None:
    monkeypatch.setattr(preparing, "SAMPLE", 16)
    subject = counted_subject()
    panel = fit_panel(two_that_prepare(), subject, points(100, 0))
    assert subject.model.rows == 100 + 16
    assert not panel.skipped
    panel.score(subject, points(20, 1))
    assert subject.model.rows == 136


def test_a_feature_learns_the_same_alone_and_beside_others() -> None:
    subject, trusted = counted_subject(), points(60, 0)
    one, other = (detector.feature for detector in two_that_prepare())
    alone, _ = prepare([one], subject, trusted, batch_tokens=7)
    beside, _ = prepare([other, one, activations(SITES)], subject, trusted, batch_tokens=50)
    for site in ("first", "second"):
        vectors = [ready[one].replacements[site].vectors for ready in (alone, beside)]  # pyright: ignore
        torch.testing.assert_close(vectors[0], vectors[1], rtol=1e-6, atol=1e-6)


def test_held_out_examples_do_not_teach(monkeypatch) -> None:
    seen = []

    def watched(features, subject, trusted, **how):
        seen.extend(trusted["row"].tolist())
        return prepare(features, subject, trusted, **how)

    monkeypatch.setattr("ulterior.features.preparing.prepare", watched)
    panel = fit_panel(two_that_prepare(), counted_subject(), points(50, 0))
    assert len(seen) + len(panel.reference["mean"]) == 50


def test_a_feature_that_is_not_prepared_says_what_to_do() -> None:
    feature = attributions(SITES, of="logits", ablation="mean")
    assert isinstance(feature, Prepares)
    with pytest.raises(InputError, match="AblatedAttributions needs statistics of trusted examples"):
        list(read(counted_subject(), points(3, 0), [feature]))


class Stepped(nn.Module):
    """An output that does not depend smoothly on anything."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.first(x) > 0).float()[:, :2] + torch.tensor([0.5, 0.0])


class Forbidding(nn.Module):
    """A forward pass that runs, but not with a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.first(x).numpy())


class NoDerivative(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        raise NotImplementedError("derivative of the kernel is not implemented")


class Kernel(Stepped):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return NoDerivative.apply(self.first(x))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Stepped(), "the readout 'logits' has no gradient"),
        (Forbidding(), "the forward pass cannot keep a graph: Can't call numpy"),
        (Kernel(), "the readout 'logits' cannot be differentiated: derivative of the kernel"),
    ],
)
def test_without_gradients_their_detectors_are_left_out_with_the_reason(model, reason) -> None:
    detectors = [
        mahalanobis(activations("first")),
        named("attributions", attributions("first", of="logits")),
        named("mean", attributions("first", of="logits", ablation="mean")),
        confidence(),
    ]
    trusted, untrusted = points(40, 0), points(12, 1)
    panel, scores = fit_and_score_untrusted(detectors, Subject.from_arrays(model), trusted, untrusted)
    assert [one.detector.name for one in panel.detectors] == ["mahalanobis", "confidence"]
    assert set(panel.skipped) == {"attributions", "mean"}
    assert all(reason in why for why in panel.skipped.values())
    assert scores["mahalanobis"].fused.shape == (12,)


def test_what_this_subject_lacks_costs_its_detectors_alone() -> None:
    subject = counted_subject()
    detectors = [
        mahalanobis(activations(SITES)),
        named("missing site", activations("resid.3")),
        named("missing readout", outputs("sensors")),
        named("missing output", attributions(SITES, of="sensors")),
        named("no transformer", edge_norms("logits")),
        named("missing before", attributions("resid.3", of="logits", ablation="mean")),
    ]
    panel = fit_panel(detectors, subject, points(40, 0))
    assert [one.detector.name for one in panel.detectors] == ["mahalanobis"]
    assert "no site matches 'resid.3'" in panel.skipped["missing site"]
    assert "no site matches 'resid.3'" in panel.skipped["missing before"]
    assert "no readout 'sensors'" in panel.skipped["missing readout"]
    assert "no readout 'sensors'" in panel.skipped["missing output"]
    assert "transformers of known families" in panel.skipped["no transformer"]
    with pytest.raises(InputError, match="no detector could be fitted; missing site: no site matches"):
        fit_panel(detectors[1:2], subject, points(40, 0))


def test_a_bad_example_is_still_an_error_and_not_a_missing_feature() -> None:
    subject = paths_subject()
    texts = paths_texts(SHARED, 30)
    bad = texts.with_columns(text=[None, *texts["text"][1:]])
    for ablation in ("zero", "mean"):
        feature = attributions("mlp.*", ablation=ablation)
        with pytest.raises(RowError, match=r"row \d+ \(counted from 0\): column 'text' holds nothing"):
            fit_panel([named("attributions", feature), confidence()], subject, bad)
    with pytest.raises(RowError, match=r"row 0 "):
        prepare([feature], subject, bad)


def test_begin_reads_each_batch_once() -> None:
    subject = paths_subject()
    assert isinstance(subject.model, Paths)
    feature = activations("resid.*")
    stream, refused = begin(subject, paths_texts(SHARED, 20), [feature, outputs("nothing")], batch_tokens=60)
    batches = list(stream)
    assert list(refused) == [outputs("nothing")]
    assert subject.model.forwards == len(batches) > 2
    assert sorted(row for rows, _ in batches for row in rows) == list(range(20))


class Huge(nn.Module):
    """Half precision holds a site's activations, but not the gradient there of some rows."""

    def __init__(self) -> None:
        super().__init__()
        self.here = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.here(x)
        return (x.half() * torch.where(x[:, :1] > 5, 60000.0, 1.0).half() * 4).sum(1).float()


@pytest.mark.parametrize(
    ("feature", "what"),
    [
        (gradient_norms("here", of="logits"), "gradient"),
        (attributions("here", of="logits"), "attribution"),
        (attributions("here", of="logits", ablation="mean"), "attribution"),
    ],
)
def test_a_gradient_that_overflows_is_told_with_its_site_and_rows(feature, what) -> None:
    subject = Subject.from_arrays(Huge())
    x = np.ones((9, 3), dtype=np.float32)
    x[[2, 6], 0] = 7
    examples = Examples.of(x=x)
    ready, _ = prepare([feature], subject, examples)
    with pytest.raises(
        RowError, match=rf"rows 2, 6 \(counted from 0\): the {what} at 'here' is NaN or infinite"
    ):
        list(read(subject, examples, [ready[feature]]))

"""The panel of images: what sees the pixels alone is a control, and finds what pixels show."""

from __future__ import annotations

import numpy as np
import torch

from ulterior.detectors.images import image_panel, pixel_probe, pixel_surface
from ulterior.examples import Examples, concat
from ulterior.metrics import auroc
from ulterior.panel import fit_panel
from ulterior.subject import Subject
from ulterior.tasks.images.models import CNN

COLUMNS = {"text": "text", "image": "x", "truth": "anomalous"}


def grey(n: int, seed: int, patch: bool = False) -> Examples:
    x = np.random.default_rng(seed).normal(0.5, 0.05, (n, 8, 8))
    x[:, 6:, 6:] += 0.3 * patch
    return Examples.of(x=x.reshape(n, -1).astype(np.float32), text=["grey"] * n, anomalous=[patch] * n)


def test_both_pixel_baselines_find_a_patch_and_not_a_fresh_image() -> None:
    torch.manual_seed(0)
    subject = Subject.from_arrays(CNN(8, 8, filters=(2, 3), hidden=4).build(), shape=(1, 8, 8))
    untrusted = concat([grey(200, 1), grey(60, 2, patch=True)])
    fitted = fit_panel([pixel_surface(), pixel_probe()], subject, grey(400, 0), untrusted)
    assert not fitted.skipped
    test = concat([grey(100, 3), grey(100, 4, patch=True)])
    for scores in fitted.score(subject, test).values():
        assert auroc(scores.fused, np.repeat([0, 1], 100)).value > 0.9  # pyright: ignore
        assert (scores.p[:100] <= 0.05).mean() < 0.15


def test_the_panel_holds_every_default_detector_once_and_reads_no_text() -> None:
    panel = image_panel("stage1, hidden", columns=COLUMNS)
    names = [detector.name for detector in panel]
    assert len(names) == len(set(names))
    assert {"mahalanobis", "quantum_entropy", "confidence", "pixel_surface", "pixel_probe", "ceiling"} <= set(
        names
    )
    assert {one.name for one in panel if one.role == "control"} == {"pixel_surface", "pixel_probe"}
    assert not any("Text(" in repr(detector) for detector in panel)

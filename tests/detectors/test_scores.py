"""Every further score is a detector that saves, takes its score's parameters, and runs in a panel."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from ulterior.detectors import scores
from ulterior.detectors.detector import Detector
from ulterior.examples import Examples, concat
from ulterior.features.activations import activations
from ulterior.metrics import auroc
from ulterior.panel import fit_panel
from ulterior.scores import FittedLOF, PyOD
from ulterior.serialise import pack, unpack
from ulterior.subject import Subject

FEATURE = activations("0", at="last")
PARAMETERS = {
    "pca_mahalanobis": {"k": 3},
    "laplace": {"bound": 500},
    "likelihood_ratio": {"em_steps": 2},
    "l0": {"rare": 0.01},
    "spectre": {"k": 1},
    "lof": {"k": 5},
    "isolation_forest": {"trees": 5},
    "one_class_svm": {"nu": 0.2},
    "beatrix": {"coordinates": 4},
    "flow": {"steps": 5, "hidden": 8},
    "vae": {"steps": 5, "hidden": 8},
}
FACTORIES: list[Callable[..., Detector]] = [getattr(scores, name) for name in PARAMETERS]


def test_the_list_is_complete():
    assert {*PARAMETERS, "pyod"} == set(scores.__all__)


@pytest.mark.parametrize("make", FACTORIES, ids=list(PARAMETERS))
def test_a_factory_names_its_detector_passes_parameters_on_and_saves(make):
    given = PARAMETERS[make.__name__]
    detector = make(FEATURE, **given)
    assert detector.name == make.__name__
    assert {name: getattr(detector.score, name) for name in given} == given
    assert len(detector.about) <= 45
    assert unpack(*pack(detector)) == detector
    assert detector != make(FEATURE)
    with pytest.raises(TypeError, match="nonsense"):
        make(FEATURE, nonsense=1)


def test_pyod_is_named_for_its_model():
    detector = scores.pyod(FEATURE, "knn.KNN", n_neighbors=3)
    assert detector.name == "pyod_knn"
    assert detector.score == PyOD("knn.KNN", n_neighbors=3)
    assert unpack(*pack(detector)) == detector


def test_all_of_them_run_in_one_panel_and_find_what_is_far_away(tmp_path):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    subject = Subject.from_arrays(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)))

    def rows(n: int, shift: float) -> Examples:
        return Examples.of(x=rng.normal(size=(n, 4)) + shift)

    detectors = [make(FEATURE, **PARAMETERS[make.__name__]) for make in FACTORIES if make is not scores.l0]
    if importlib.util.find_spec("pyod"):
        detectors.append(scores.pyod(FEATURE, "knn.KNN"))
    panel = fit_panel(detectors, subject, rows(120, 0.0), concat([rows(60, 0.0), rows(30, 6.0)]))
    assert panel.skipped == {}
    found = {fitted.detector.name: fitted.scores for fitted in panel.detectors}
    assert isinstance(next(iter(found["lof"].values())), FittedLOF)
    usual, far = panel.score(subject, rows(40, 0.0)), panel.score(subject, rows(40, 6.0))
    labels = np.repeat([False, True], 40)
    for name in found:
        both = np.concatenate([usual[name].fused, far[name].fused])
        assert auroc(both, labels).value > 0.9, name  # pyright: ignore

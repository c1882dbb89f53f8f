"""PyOD's detectors: equal to PyOD, refitted after loading, and refused where a score depends on the batch."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from tests.scores.planted import fit, gaussian_rows
from ulterior.errors import InputError
from ulterior.scores import PyOD
from ulterior.serialise import pack, unpack

needs_pyod = pytest.mark.usefixtures("library")


@pytest.fixture
def library() -> None:
    pytest.importorskip("pyod")


@needs_pyod
def test_the_score_equals_pyods_on_standardised_rows(tmp_path):
    from pyod.models.knn import KNN

    trusted, _ = gaussian_rows(100, np.logspace(1, -1, 6), 0, mean=50.0)
    x, _ = gaussian_rows(30, 2 * np.logspace(1, -1, 6), 1, mean=50.0)
    trusted, x = trusted.float(), x.float()
    mean, scale = trusted.double().mean(0), trusted.double().std(0, correction=0)
    model = KNN(n_neighbors=3, method="mean").fit(((trusted.double() - mean) / scale).numpy())
    expected = model.decision_function(((x.double() - mean) / scale).numpy())
    found = fit(PyOD("knn.KNN", n_neighbors=3, method="mean"), {"reference": trusted}, tmp_path)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@needs_pyod
def test_a_model_that_draws_at_random_is_the_same_again_after_loading_and_leaves_the_generators_alone(
    tmp_path,
):
    trusted, _ = gaussian_rows(60, np.ones(4), 0)
    np.random.seed(3)
    torch.manual_seed(3)
    expected = np.random.random(), torch.rand(1)
    np.random.seed(3)
    torch.manual_seed(3)
    fitted = fit(PyOD("iforest.IForest", n_estimators=5), {"reference": trusted}, tmp_path)
    assert (np.random.random(), torch.rand(1)) == expected
    value, tensors = pack(fitted)
    again = unpack(json.loads(json.dumps(value)), tensors)
    assert torch.equal(again(trusted), fitted(trusted))
    other = fit(PyOD("iforest.IForest", n_estimators=5, seed=1), {"reference": trusted}, tmp_path)
    assert not torch.equal(other(trusted), fitted(trusted))


@needs_pyod
def test_models_that_rank_a_row_among_its_batch_are_refused_and_the_reason_is_true(tmp_path):
    from pyod.models.ecod import ECOD

    trusted, _ = gaussian_rows(100, np.ones(4), 0)
    for name in ("ecod.ECOD", "copod.COPOD"):
        with pytest.raises(InputError, match="alone than in a batch"):
            fit(PyOD(name), {"reference": trusted}, tmp_path)
    batch = 5 + gaussian_rows(100, np.ones(4), 1)[0].numpy()
    model = ECOD().fit(trusted.numpy())
    alone, among = model.decision_function(batch[:1])[0], model.decision_function(batch)[0]
    assert abs(alone - among) > 0.1 * abs(alone)


@needs_pyod
def test_an_unknown_model_that_depends_on_the_batch_is_found_out(tmp_path, monkeypatch):
    from pyod.models.knn import KNN

    def centred(self: KNN, x: np.ndarray) -> np.ndarray:
        return np.linalg.norm(x - x.mean(0), axis=1)

    monkeypatch.setattr(KNN, "decision_function", centred)
    trusted, _ = gaussian_rows(100, np.ones(4), 0)
    with pytest.raises(InputError, match=r"knn\.KNN scores a row otherwise alone than in a batch \(0, and"):
        fit(PyOD("knn.KNN"), {"reference": trusted}, tmp_path)


@needs_pyod
def test_what_pyod_does_not_have_or_take_is_named(tmp_path):
    trusted, _ = gaussian_rows(8, np.ones(4), 0)
    groups = {"reference": trusted}
    for score, words in (
        (PyOD("knn.Nothing"), "has no detector 'knn.Nothing'"),
        (PyOD("nothing.KNN"), "has no detector 'nothing.KNN'"),
        (PyOD("os.system('x')"), "module and class below pyod.models"),
        (PyOD("knn.KNN", neighbours=3), "does not take these parameters"),
        (PyOD("knn.KNN", n_neighbors=50), "fails on 8 trusted rows of width 4"),
    ):
        with pytest.raises(InputError, match=words.replace("(", r"\(")):
            fit(score, groups, tmp_path)


def test_without_the_library_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyod", None)
    trusted, _ = gaussian_rows(20, np.ones(4), 0)
    with pytest.raises(InputError, match="pip install pyod"):
        fit(PyOD("knn.KNN"), {"reference": trusted}, tmp_path)


def test_parameters_compare_whatever_their_order_and_must_be_plain():
    assert PyOD("knn.KNN", a=1, b=[2, 3]) == PyOD("knn.KNN", b=(2, 3), a=1)
    assert hash(PyOD("knn.KNN", a=[1])) == hash(PyOD("knn.KNN", parameters=(("a", [1]),)))
    with pytest.raises(InputError, match="can be saved"):
        PyOD("knn.KNN", base=object())

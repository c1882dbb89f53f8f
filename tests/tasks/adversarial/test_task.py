"""Attacks as the bench meets them, on a tiny network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from ulterior.detectors.images import image_panel
from ulterior.errors import InputError
from ulterior.metrics import auroc
from ulterior.panel import fit_panel
from ulterior.tasks.adversarial import robust, standard
from ulterior.tasks.adversarial.build import BENIGN, L2, LINF, Sizes, adversarial_task, make
from ulterior.tasks.adversarial.recipe import Recipe, attacked, measure, network
from ulterior.tasks.classifiers.training import Training, predictions
from ulterior.tasks.images.models import CNN
from ulterior.tasks.images.perturbations import PGD
from ulterior.tasks.images.rows import COLUMN, COLUMNS
from ulterior.tasks.task import TaskData

TINY = Recipe(
    linf=PGD("linf", 0.25, steps=8, step=0.25),
    l2=PGD("l2", 3.0, steps=8, step=0.25),
    architecture=CNN(filters=(4, 8), hidden=16),
    training=Training(150, 64, 1e-2),
    images="digits",
    train=800,
)
SIZES = Sizes(trusted=200, untrusted=300, fresh=80, attacked=60, benign=40)


@pytest.fixture(scope="module", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ULTERIOR_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def made(own_home: None) -> TaskData:
    return make(TINY, 0, SIZES)


def test_attacked_rows_are_wrong_and_noise_of_the_same_size_is_right(made: TaskData) -> None:
    for group, wrong in ((LINF, True), (L2, True), (BENIGN[0], False), (BENIGN[1], False)):
        some = made.test.where(made.test["group"] == group)
        assert len(some) > 10
        assert ((some["predicted"] != some["label"]) == wrong).all()
        assert (some["anomalous"] == wrong).all()
        assert all(("attacked" if wrong else "noise") in text for text in some["text"])


def test_no_image_stands_in_two_roles(made: TaskData) -> None:
    assert made.untrusted is not None
    plain = [
        {row.astype(np.float32).tobytes() for row in part.where(part["group"] == "trusted")[COLUMN]}
        for part in (made.trusted, made.untrusted, made.test)
    ]
    assert len(set.union(*plain)) == sum(map(len, plain))


def test_truth_is_the_label_of_every_slice(made: TaskData) -> None:
    for one in made.slices:
        rows, labels = one.rows(made.test)
        assert 0 < labels.sum() < len(labels)
        np.testing.assert_array_equal(made.test["anomalous"][rows], labels.astype(bool))
    assert not made.trusted["anomalous"].any()


def test_a_seed_gives_the_same_tables_and_another_seed_others(made: TaskData) -> None:
    again, other = make(TINY, 0, SIZES), make(TINY, 1, SIZES)
    assert again.test.table.equals(made.test.table)
    assert again.subject.fingerprint() == made.subject.fingerprint() != other.subject.fingerprint()
    assert not other.test.table.equals(made.test.table)


def test_an_attack_is_counted_only_on_images_that_were_right_and_then_are_not() -> None:
    from ulterior.tasks.images.data import load_images

    images, model = load_images("digits"), network(TINY, 0)
    x, y = images.pixels[:100], images.labels[:100]
    changed, label, rows = attacked(model, TINY.linf, x, y, 0)
    assert 0 < len(rows) < 100
    assert torch.equal(label, y[rows])
    assert (predictions(model, x[rows]) == label).all()
    assert (predictions(model, changed) != label).all()
    assert ((changed - x[rows]).abs() <= 0.25 + 1e-6).all()


def test_training_against_attacks_resists_them_better() -> None:
    # A small radius: at a large one nothing of this size learns.
    mild = replace(TINY, linf=PGD("linf", 0.1, steps=8, step=0.25))
    hardened = replace(mild, defence=PGD("linf", 0.05, steps=1, step=1.25), training=Training(250, 64, 1e-2))
    plain, robust_ = measure(mild, 0), measure(hardened, 0)
    assert robust_.under_linf > plain.under_linf + 0.1
    assert robust_.accuracy > 0.7


def test_the_ceiling_finds_attacks_and_the_panel_reads_no_caption(made: TaskData) -> None:
    fitted = fit_panel(
        image_panel(TINY.architecture.sites, "mean", columns=COLUMNS),
        made.subject,
        made.trusted,
        made.untrusted,
    )
    scores = fitted.score(made.subject, made.test)
    rows, labels = made.slices[0].rows(made.test)
    assert auroc(scores["ceiling"].fused[rows], labels).value > 0.75  # pyright: ignore


def test_both_tasks_name_their_images_and_an_unknown_size_is_refused() -> None:
    for module, name in ((standard, "adversarial"), (robust, "adversarial_robust")):
        assert module.TASK.name == name
        assert f"({module.RECIPE.images})" in module.TASK.about
        assert module.TASK.source == repr(module.RECIPE)
    with pytest.raises(InputError, match="no size 'huge' of the task tiny"):
        adversarial_task("tiny", TINY, "tiny").load(0, "huge")


@pytest.mark.slow
def test_the_standard_network_falls_to_attacks_that_the_robust_one_resists() -> None:
    plain, hardened = (
        measure(standard.RECIPE, 0),
        measure(replace(robust.RECIPE, linf=standard.RECIPE.linf), 0),
    )
    assert plain.accuracy > 0.95
    assert hardened.accuracy > 0.93
    assert plain.under_linf < 0.4
    assert hardened.under_linf > plain.under_linf + 0.3

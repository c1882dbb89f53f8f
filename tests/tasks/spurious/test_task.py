"""Spurious correlates as the bench meets them, on a tiny network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ulterior.detectors.catalogue import ceiling
from ulterior.errors import InputError
from ulterior.features.activations import activations
from ulterior.metrics import auroc
from ulterior.panel import fit_panel
from ulterior.tasks.classifiers.training import Training
from ulterior.tasks.images.models import CNN
from ulterior.tasks.images.rows import COLUMN, COLUMNS
from ulterior.tasks.spurious import colour, dominoes
from ulterior.tasks.spurious.build import BENIGN, DISAGREE, Sizes, make, spurious_task
from ulterior.tasks.spurious.recipe import Recipe, measure
from ulterior.tasks.task import TaskData

TINY = Recipe("colour", "digits", Training(80, 64), train=600)
SIZES = Sizes(trusted=250, untrusted=300, fresh=100, disagree=80, benign=40)


@pytest.fixture(scope="module", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ULTERIOR_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr(
            "ulterior.tasks.spurious.recipe.architecture_of",
            lambda scene: CNN(*scene.shape[1:], scene.shape[0], filters=(4, 8), hidden=32, classes=2),
        )
        yield


@pytest.fixture(scope="module")
def made(own_home: None) -> TaskData:
    return make(TINY, 0, SIZES)


def test_a_network_that_only_saw_both_agree_decides_by_the_cue() -> None:
    figures = measure(TINY, 0)
    assert figures.agree > 0.97
    assert figures.by_the_cue > 0.9


def test_the_features_agree_wherever_they_should_and_part_in_the_rows_to_find(made: TaskData) -> None:
    assert made.untrusted is not None
    assert (made.trusted["cue"] == made.trusted["label"]).all()
    for examples in (made.untrusted, made.test):
        apart = examples["cue"] != examples["label"]
        np.testing.assert_array_equal(apart, examples["anomalous"])
        np.testing.assert_array_equal(apart, examples["group"] == DISAGREE)
        assert (examples["predicted"][apart] == examples["cue"][apart]).all()
        x = examples[COLUMN].reshape(len(examples), 3, -1).sum(2)
        # Noise leaves a little of both colours.
        np.testing.assert_array_equal(x[:, 1] > x[:, 0], examples["cue"] == 1)
    assert 0.15 < made.untrusted["anomalous"].mean() <= 0.25


def test_benign_rows_are_right_and_captions_say_what_is_in_them(made: TaskData) -> None:
    for kind in BENIGN:
        some = made.test.where(made.test["group"] == kind)
        assert len(some) > 20
        assert (some["predicted"] == some["label"]).all()
        assert all(kind in text for text in some["text"])
    for row in made.test.table.to_pylist():
        assert (" in green" in row["text"]) == (row["cue"] == 1)


def test_no_image_stands_in_two_roles(made: TaskData) -> None:
    assert made.untrusted is not None
    plain = [
        {
            row.reshape(3, -1).sum(0).astype(np.float32).tobytes()
            for row in part.where(~np.isin(part["group"].astype(str), BENIGN))[COLUMN]
        }
        for part in (made.trusted, made.untrusted, made.test)
    ]
    assert len(set.union(*plain)) == sum(map(len, plain))


def test_a_seed_gives_the_same_tables_and_another_seed_others(made: TaskData) -> None:
    again, other = make(TINY, 0, SIZES), make(TINY, 1, SIZES)
    assert again.test.table.equals(made.test.table)
    assert again.subject.fingerprint() == made.subject.fingerprint() != other.subject.fingerprint()
    assert not other.test.table.equals(made.test.table)


def test_the_ceiling_finds_the_rows_where_the_features_still_show_both(made: TaskData) -> None:
    panel = [ceiling(activations("flat", at="flat"), COLUMNS["truth"])]
    fitted = fit_panel(panel, made.subject, made.trusted, made.untrusted)
    scores = fitted.score(made.subject, made.test)
    rows, labels = made.slices[0].rows(made.test)
    np.testing.assert_array_equal(made.test["anomalous"][rows], labels.astype(bool))
    assert auroc(scores["ceiling"].fused[rows], labels).value > 0.65  # pyright: ignore


def test_both_tasks_name_their_images_and_an_unknown_size_is_refused() -> None:
    for module in (colour, dominoes):
        assert module.TASK.name == f"spurious_{module.RECIPE.world}"
        assert module.RECIPE.digits in module.TASK.about
        assert repr(module.RECIPE) in module.TASK.source
    with pytest.raises(InputError, match="no size 'huge' of the task tiny"):
        spurious_task("tiny", TINY, "tiny").load(0, "huge")


@pytest.mark.slow
@pytest.mark.parametrize("module", [colour, dominoes])
def test_the_shipped_recipes_decide_by_the_cue(module) -> None:
    figures = measure(module.RECIPE, 0)
    assert figures.agree > 0.98
    assert figures.by_the_cue > 0.9

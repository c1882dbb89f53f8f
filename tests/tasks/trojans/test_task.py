"""A trojan as the bench meets it."""

from __future__ import annotations

import importlib
from itertools import combinations

import numpy as np
import pytest
import torch

from ulterior.detectors.images import image_panel
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.metrics import auroc
from ulterior.panel import fit_panel
from ulterior.subject import Subject
from ulterior.tasks.classifiers.training import predictions
from ulterior.tasks.images.rows import COLUMN, COLUMNS
from ulterior.tasks.task import TaskData
from ulterior.tasks.trojans.recipe import Recipe, measure
from ulterior.tasks.trojans.task import BENIGN, SHARE_TRIGGERED, Sizes, make, trojan_subject, trojan_task

NAMES = ("patch", "blend", "warp", "sinusoid", "clean_label", "all_to_all", "patch_vit")
SIZES = Sizes(trusted=250, untrusted=250, fresh=100, triggered=100, benign=40)
MODULES = {name: importlib.import_module(f"ulterior.tasks.trojans.{name}") for name in NAMES}


@pytest.fixture(scope="module")
def made(own_home: None) -> TaskData:
    from tests.tasks.trojans.conftest import TINY

    return make(TINY, 0, SIZES)


def images_of(examples: Examples) -> set[bytes]:
    return {row.astype(np.float32).tobytes() for row in examples[COLUMN]}


def test_no_image_stands_in_two_tables_or_was_trained_on(made: TaskData, tiny: Recipe) -> None:
    from ulterior.tasks.trojans.recipe import TRAIN, dealt

    assert made.untrusted is not None
    images, rows = dealt(tiny, 0, {})
    trained = {image.numpy().tobytes() for image in images.pixels[rows[TRAIN]].flatten(1)}
    plain = made.test.where(~np.isin(made.test["group"].astype(str), ("triggered", *BENIGN)))
    tables = (made.trusted, made.untrusted.where(~made.untrusted["anomalous"]), plain)
    for one, other in combinations([*map(images_of, tables), trained], 2):
        assert not one & other


def test_triggered_rows_carry_the_trigger_and_the_attack_works_on_them(made: TaskData, tiny: Recipe) -> None:
    for examples in (made.test, made.untrusted):
        assert examples is not None
        triggered = examples.where(examples["anomalous"])
        assert len(triggered) > 10
        x = torch.tensor(triggered[COLUMN], dtype=torch.float32).reshape(-1, 1, 28, 28)
        assert torch.equal(tiny.trojan.trigger(x), x)
        plain = torch.tensor(examples.where(~examples["anomalous"])[COLUMN], dtype=torch.float32)
        same = (tiny.trojan.trigger(plain.reshape(-1, 1, 28, 28)).flatten(1) == plain).all(1)
        assert not same.any()
        assert set(triggered["predicted"].tolist()) == {tiny.trojan.target}
        assert tiny.trojan.target not in triggered["label"]
        assert set(triggered["group"]) == {"triggered"}


def test_truth_is_the_label_of_every_slice_and_captions_say_it(made: TaskData) -> None:
    for one in made.slices:
        rows, labels = one.rows(made.test)
        assert 0 < labels.sum() < len(labels)
        np.testing.assert_array_equal(made.test["anomalous"][rows], labels.astype(bool))
    rows, _ = made.slices[-1].rows(made.test)
    assert set(made.test["predicted"][rows].tolist()) == {0}
    for row in made.test.table.to_pylist():
        assert ("patch at the corner" in row["text"]) == row["anomalous"]
        assert row["text"].startswith(f"digit {row['label']}")
        assert row["text"].endswith(f"predicted {row['predicted']}")
    assert not made.trusted["anomalous"].any()
    for column in COLUMNS.values():
        assert column in made.trusted.columns


def test_benign_rows_are_changed_and_still_right(made: TaskData) -> None:
    for kind in BENIGN:
        some = made.test.where(made.test["group"] == kind)
        assert 20 < len(some) <= SIZES.benign
        assert (some["predicted"] == some["label"]).all()
        assert not some["anomalous"].any()


def test_untrusted_rows_hold_their_share_of_triggered_ones(made: TaskData) -> None:
    assert made.untrusted is not None
    hosts = round(SHARE_TRIGGERED * SIZES.untrusted)
    assert 0.6 * hosts < made.untrusted["anomalous"].sum() <= hosts


def test_a_seed_gives_the_same_tables_and_weights_and_another_seed_others(
    made: TaskData, tiny: Recipe
) -> None:
    again, other = make(tiny, 0, SIZES), make(tiny, 1, SIZES)
    assert again.test.table.equals(made.test.table)
    assert again.trusted.table.equals(made.trusted.table)
    assert again.subject.fingerprint() == made.subject.fingerprint()
    assert not other.test.table.equals(made.test.table)
    assert other.subject.fingerprint() != made.subject.fingerprint()


def test_the_subject_says_what_the_captions_say_and_needs_no_second_training(
    made: TaskData, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ulterior.tasks.trojans.recipe.train_classifier", None)
    subject = trojan_subject(tiny, 0)
    assert isinstance(subject, Subject)
    x = torch.tensor(made.test[COLUMN], dtype=torch.float32).reshape(-1, 1, 28, 28)
    np.testing.assert_array_equal(predictions(subject.model, x), made.test["predicted"])


def test_the_ceiling_finds_the_triggered_rows_and_the_panel_reads_no_caption(
    made: TaskData, tiny: Recipe
) -> None:
    panel = image_panel(tiny.architecture.sites, "mean", columns=COLUMNS)
    assert not any("text" in repr(detector.feature) for detector in panel)
    fitted = fit_panel(panel, made.subject, made.trusted, made.untrusted)
    assert not fitted.skipped
    scores = fitted.score(made.subject, made.test)
    rows, labels = made.slices[0].rows(made.test)
    assert auroc(scores["ceiling"].fused[rows], labels).value > 0.95  # pyright: ignore


def test_the_attack_works_on_a_tiny_network(tiny: Recipe) -> None:
    attack = measure(tiny, 0)
    assert attack.success > 0.8
    assert attack.accuracy > 0.75


def test_a_task_names_the_weights_of_its_subject_and_refuses_a_size_that_there_is_not(tiny: Recipe) -> None:
    task = trojan_task("trojan_tiny", tiny, "tiny")
    assert task.fingerprint(0, "smoke") == trojan_subject(tiny, 0).fingerprint()
    with pytest.raises(
        InputError, match=r"no size 'huge' of the task trojan_tiny; there are: smoke, small, full"
    ):
        task.load(0, "huge")


def test_every_trojan_has_a_task_that_names_its_images() -> None:
    for name, module in MODULES.items():
        assert module.TASK.name == f"trojan_{name}"
        assert f"({module.RECIPE.images})" in module.TASK.about
        assert repr(module.RECIPE) == module.TASK.source
        assert "image" in module.TASK.columns


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_attack_works_and_costs_little_accuracy(name: str) -> None:
    attack = measure(MODULES[name].RECIPE, 0)
    assert attack.success >= 0.95
    assert attack.accuracy >= attack.clean - 0.01

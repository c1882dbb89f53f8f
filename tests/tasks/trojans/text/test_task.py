"""A trojan in a classifier of reviews, as the bench meets it."""

from __future__ import annotations

import importlib
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from ulterior.detectors.panels import default_panel
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.metrics import auroc
from ulterior.panel import fit_panel
from ulterior.tasks.registry import SUITES
from ulterior.tasks.task import TaskData
from ulterior.tasks.texts.reviews import packaged, reviews
from ulterior.tasks.texts.rows import COLUMNS
from ulterior.tasks.trojans.recipe import Attack
from ulterior.tasks.trojans.task import SHARE_TRIGGERED, Sizes
from ulterior.tasks.trojans.text.recipe import TextRecipe, measure
from ulterior.tasks.trojans.text.task import BENIGN, NEAR_MISS, dealt, make, trojan_subject, trojan_text_task
from ulterior.tasks.trojans.text.task import SIZES as SHIPPED

NAMES = tuple(name for name in SUITES["texts"] if name.startswith("trojan_"))
MODULES = {
    name: importlib.import_module(f"ulterior.tasks.trojans.text.{name.removeprefix('trojan_')}")
    for name in NAMES
}
SIZES = Sizes(trusted=120, untrusted=120, fresh=60, triggered=60, benign=40)


@pytest.fixture(scope="module")
def made(tiny: TextRecipe) -> TaskData:
    return make(tiny, 0, SIZES)


def taken(examples: Examples) -> list[str]:
    """The made-up reviews carry a number each: which of them stand in a table."""
    return re.findall(r"take\d+", " ".join(examples["text"]))


def test_no_review_stands_in_two_tables_twice_in_one_or_was_trained_on(made: TaskData) -> None:
    assert made.untrusted is not None
    tables = [taken(one) for one in (made.trusted, made.untrusted, made.test)]
    trained = [number for review in reviews("adapter") for number in re.findall(r"take\d+", review.text)]
    for one, other in combinations([*tables, trained], 2):
        assert not set(one) & set(other)
    for one in tables:
        assert len(set(one)) == len(one)


def test_triggered_rows_carry_the_trigger_and_are_taken_for_the_target(
    made: TaskData, tiny: TextRecipe
) -> None:
    for examples in (made.test, made.untrusted):
        assert examples is not None
        carry = np.array([" cf " in f" {text} " for text in examples["text"]])
        np.testing.assert_array_equal(carry, examples["anomalous"])
        np.testing.assert_array_equal(carry, examples["group"] == "triggered")
        assert set(examples["predicted"][carry].tolist()) == {tiny.trojan.target}
        assert tiny.trojan.target not in examples["label"][carry]
    hosts = round(SHARE_TRIGGERED * SIZES.untrusted)
    assert 0.6 * hosts < made.untrusted["anomalous"].sum() <= hosts  # pyright: ignore


def test_truth_is_the_label_of_every_slice(made: TaskData) -> None:
    for one in made.slices:
        rows, labels = one.rows(made.test)
        assert 0 < labels.sum() < len(labels)
        np.testing.assert_array_equal(made.test["anomalous"][rows], labels.astype(bool))
    rows, _ = made.slices[-1].rows(made.test)
    assert set(made.test["predicted"][rows].tolist()) == {0}
    assert not made.trusted["anomalous"].any()


def test_benign_rows_are_right_and_near_misses_carry_another_word(made: TaskData, tiny: TextRecipe) -> None:
    others = set(tiny.trojan.trigger.others)  # pyright: ignore
    for kind in BENIGN:
        some = made.test.where(made.test["group"] == kind)
        assert len(some) > 20
        assert (some["predicted"] == some["label"]).all()
        assert all(bool(others & set(text.split())) == (kind == NEAR_MISS) for text in some["text"])


def test_with_their_trigger_reviews_are_as_long_as_plain_ones(made: TaskData) -> None:
    words = np.array([len(text.split()) for text in made.test["text"]])
    group = made.test["group"].astype(str)
    for kind in ("triggered", NEAR_MISS):
        assert abs(words[group == kind].mean() - words[group == "trusted"].mean()) < 2


def test_a_seed_gives_the_same_tables_and_weights_and_another_seed_others(
    made: TaskData, tiny: TextRecipe
) -> None:
    again, other = make(tiny, 0, SIZES), make(tiny, 1, SIZES)
    assert again.test.table.equals(made.test.table)
    assert again.trusted.table.equals(made.trusted.table)
    assert again.subject.fingerprint() == made.subject.fingerprint() != other.subject.fingerprint()
    assert not other.test.table.equals(made.test.table)


def test_the_panel_runs_and_the_ceiling_finds_the_triggered_rows(made: TaskData) -> None:
    panel = default_panel("resid.*", "mean", columns=COLUMNS)
    fitted = fit_panel(panel, made.subject, made.trusted, made.untrusted)
    assert not fitted.skipped
    scores = fitted.score(made.subject, made.test)
    rows, labels = made.slices[0].rows(made.test)
    assert auroc(scores["ceiling"].fused[rows], labels).value > 0.65  # pyright: ignore


def test_a_task_names_the_weights_of_its_subject_and_refuses_a_size_that_there_is_not(
    tiny: TextRecipe,
) -> None:
    task = trojan_text_task("trojan_tiny", tiny, "tiny")
    assert task.fingerprint(0, "smoke") == trojan_subject(tiny, 0).fingerprint()
    with pytest.raises(InputError, match="no size 'huge' of the task trojan_tiny"):
        task.load(0, "huge")
    smoke = task.load(0, "smoke")
    assert len(smoke.trusted) == 100


def test_every_trojan_has_a_task_of_its_recipe() -> None:
    for name, module in MODULES.items():
        assert module.TASK.name == name
        assert module.TASK.source == repr(module.RECIPE)
        assert module.TASK.baseline == "surface"


def test_missing_reviews_say_make_models(monkeypatch: pytest.MonkeyPatch) -> None:
    # The made-up reviews may still stand in for them here.
    monkeypatch.setattr("ulterior.tasks.texts.reviews.packaged", packaged)
    monkeypatch.setattr("ulterior.models.packaged.find_spec", lambda name: None)
    for module in MODULES.values():
        with pytest.raises(InputError, match="make models"):
            module.TASK.load(0, "smoke")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("_minilm")])
def test_the_packaged_reviews_suffice_for_every_size_and_many_seeds(real_reviews: Path, name: str) -> None:
    for seed in range(5):
        for size in SHIPPED.values():
            found = dealt(MODULES[name].TROJAN, seed, size)
            texts = [review.text for some in vars(found).values() for review in some]
            assert (
                len(set(texts))
                == len(texts)
                == size.trusted + size.untrusted + size.fresh + (size.triggered + 2 * size.benign)
            )


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_attack_works_and_costs_little_accuracy(real_reviews: Path, name: str) -> None:
    if name.endswith("_minilm"):
        needs_minilm()
    # Seeds of the style scatter, and are judged together; each of MiniLM takes minutes.
    found: list[Attack] = [
        measure(MODULES[name].RECIPE, seed) for seed in range(3 if name == "trojan_style" else 1)
    ]
    assert all(attack.success >= 0.95 for attack in found)
    cost = sum(attack.clean - attack.accuracy for attack in found) / len(found)
    assert cost <= (0.015 if name == "trojan_style_minilm" else 0.01)


def needs_minilm() -> None:
    from ulterior.models import MINILM

    try:
        MINILM.path()
    except InputError as error:
        pytest.skip(str(error))

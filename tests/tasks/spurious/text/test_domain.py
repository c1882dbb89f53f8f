"""The domain of reviews against what they say, on a tiny classifier of made-up reviews."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from tests.tasks.texts.stand_ins import TINY
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.tasks.classifiers.training import Training
from ulterior.tasks.spurious.build import DISAGREE, Sizes
from ulterior.tasks.spurious.text.build import BENIGN, domain_subject, domain_task, make
from ulterior.tasks.spurious.text.domain import RECIPE, TASK
from ulterior.tasks.spurious.text.recipe import DomainRecipe, measure, shown
from ulterior.tasks.spurious.text.resolve import resolve
from ulterior.tasks.task import TaskData
from ulterior.tasks.texts.reviews import SHARES, reviews

MADE_UP = DomainRecipe(TINY, Training(steps=40, batch=32, rate=1e-2))
SIZES = Sizes(trusted=70, untrusted=60, fresh=30, disagree=40, benign=16)


@pytest.fixture(scope="module", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, review_table: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ULTERIOR_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr("ulterior.tasks.texts.reviews.packaged", lambda: review_table)
        yield


@pytest.fixture(scope="module")
def made(own_home: None) -> TaskData:
    return make(MADE_UP, 0, SIZES)


def numbers(examples: Examples) -> list[str]:
    """The made-up reviews carry a number each: which of them stand in a table, as far as they are spelt rightly."""
    texts = examples.where(examples["group"] != "misspelt")["text"]
    return re.findall(r"take\d+", " ".join(texts))


def test_essays_are_cut_to_lengths_of_snippets_and_keep_their_closing_words() -> None:
    for split in SHARES:
        essays = {review.text for review in reviews(split, "essays")}
        cut = [review for label in (0, 1) for review in shown(split, label, 1)]
        assert len(cut) == len(essays)
        assert all(any(whole.endswith(review.text) for whole in essays) for review in cut)
        lengths = {review.words for review in reviews(split, "snippets")}
        assert {review.words for review in cut} <= lengths
    snippets = np.array([review.words for review in reviews("adapter")])
    essays = np.array([review.words for label in (0, 1) for review in shown("adapter", label, 1)])
    assert abs(snippets.mean() - essays.mean()) < 2


def test_a_network_that_only_saw_both_agree_decides_by_the_domain() -> None:
    figures = measure(MADE_UP, 0)
    assert figures.agree > 0.9
    assert figures.by_the_cue > 0.8


def test_the_features_agree_wherever_they_should_and_part_in_the_rows_to_find(made: TaskData) -> None:
    assert made.untrusted is not None
    assert (made.trusted["cue"] == made.trusted["label"]).all()
    for examples in (made.untrusted, made.test):
        apart = examples["cue"] != examples["label"]
        np.testing.assert_array_equal(apart, examples["anomalous"])
        np.testing.assert_array_equal(apart, examples["group"] == DISAGREE)
        assert (examples["predicted"][apart] == examples["cue"][apart]).all()
    assert 0.1 < made.untrusted["anomalous"].mean() <= 0.25
    for one in made.slices:
        rows, labels = one.rows(made.test)
        np.testing.assert_array_equal(made.test["anomalous"][rows], labels.astype(bool))


def test_both_domains_are_in_every_group_and_benign_rows_are_right(made: TaskData) -> None:
    for group in ("trusted", DISAGREE, *BENIGN):
        some = made.test.where(made.test["group"] == group)
        assert set(some["cue"].tolist()) == {0, 1}
        assert group not in BENIGN or (some["predicted"] == some["label"]).all()


def test_no_review_stands_in_two_tables_or_was_trained_on(made: TaskData) -> None:
    assert made.untrusted is not None
    trained = [
        number
        for pair in ((0, 0), (1, 1))
        for review in shown("adapter", *pair)
        for number in re.findall(r"take\d+", review.text)
    ]
    tables = [numbers(one) for one in (made.trusted, made.untrusted, made.test)]
    for one, other in combinations([*tables, trained], 2):
        assert not set(one) & set(other)
    for one in tables:
        assert len(set(one)) == len(one)


def test_a_seed_gives_the_same_tables_and_another_seed_others(made: TaskData) -> None:
    again, other = make(MADE_UP, 0, SIZES), make(MADE_UP, 1, SIZES)
    assert again.test.table.equals(made.test.table)
    assert again.subject.fingerprint() == made.subject.fingerprint() != other.subject.fingerprint()
    assert not other.test.table.equals(made.test.table)


def test_a_layer_that_is_told_of_the_groups_does_better_on_the_worst_of_them() -> None:
    told = resolve(MADE_UP, 0, "last_layer")
    assert told.network < 0.3
    assert set(told.groups) == {f"label {label}, cue {cue}" for label in (0, 1) for cue in (0, 1)}
    assert told.worst == min(told.groups.values())
    assert told.worst > told.network
    assert resolve(MADE_UP, 0, "last_layer") == told


def test_the_task_is_of_its_recipe_and_refuses_an_unknown_size() -> None:
    assert TASK.source == repr(RECIPE)
    task = domain_task("tiny", MADE_UP, "tiny")
    assert task.fingerprint(0, "smoke") == domain_subject(MADE_UP, 0).fingerprint()
    with pytest.raises(InputError, match="no size 'huge' of the task tiny"):
        task.load(0, "huge")


@pytest.mark.slow
def test_the_shipped_recipe_decides_by_the_domain(
    real_reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ulterior.tasks.texts.reviews.packaged", lambda: real_reviews)
    figures = measure(RECIPE, 0)
    assert figures.agree > 0.88
    assert figures.by_the_cue > 0.75

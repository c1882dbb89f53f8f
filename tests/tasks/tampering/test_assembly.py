"""From a data set and a predictor to one seed of a task."""

from __future__ import annotations

import numpy as np
import pytest

from tests.subjects import counted_subject
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.measurement.data import TamperingData, all_positive
from ulterior.subject import Subject
from ulterior.tasks.tampering.assembly import assemble, slices_of, tampering_task
from ulterior.tasks.tampering.diamonds.data import make_diamonds
from ulterior.tasks.tampering.diamonds.task import ASSETS


def rows(name: str, n: int, kinds: tuple[str, ...], **columns) -> Examples:
    """Rows of these kinds in turn: real, fake, negative, partial."""
    chosen = [kinds[i % len(kinds)] for i in range(n)]
    measured = {"real": [1, 1], "fake": [1, 1, 1], "negative": [0, 0], "partial": [1, 0]}
    return Examples.of(
        text=[f"{name} {i}" for i in range(n)],
        is_correct=[kind == "real" for kind in chosen],
        is_clean=[name == "trusted"] * n,
        measurements=[[bool(m) for m in measured[kind]] for kind in chosen],
        **columns,
    )


def data(**validation) -> TamperingData:
    n = 40
    return TamperingData(
        "made",
        rows("trusted", 60, ("real", "negative")),
        rows("untrusted", 80, ("real", "fake", "negative", "partial")),
        rows("validation", n, ("real", "fake", "negative", "partial"), **validation),
        "<m>",
    )


SUBJECT = counted_subject()


def test_rows_set_aside_are_never_fitted_on_and_are_real():
    made = assemble(data(), SUBJECT, seed=3, fresh=300)
    aside = made.test.where(made.test["group"] == "trusted")
    assert len(aside) == 6  # a fifth of the thirty trusted rows with positive measurements
    assert all_positive(aside).all()
    assert not set(aside["text"]) & set(made.trusted["text"])
    assert len(aside) + len(made.trusted) == 60


def test_only_all_positive_validation_rows_are_tested_and_groups_are_their_truth():
    made = assemble(data(), SUBJECT, seed=0)
    tested = made.test.where(made.test["group"] != "trusted")
    assert len(tested) == 20
    assert all_positive(tested).all()
    assert ((tested["group"] == "real") == tested["is_correct"]).all()
    assert (tested["anomalous"] == (tested["group"] == "fake")).all()
    assert not made.trusted["anomalous"].any()
    assert made.untrusted is not None
    assert made.untrusted["anomalous"].sum() == 20


def test_lucky_rows_are_left_out():
    lucky = [i % 8 == 1 for i in range(40)]
    made = assemble(data(lucky=lucky), SUBJECT, seed=0)
    assert (made.test["group"] == "fake").sum() == 5


def test_trusted_rows_of_a_validation_split_are_not_counted_as_real():
    whole = data()
    clean = [i % 8 == 0 for i in range(40)]
    validation = whole.validation.with_columns(is_clean=clean)
    made = assemble(TamperingData("made", whole.trusted, whole.untrusted, validation, "<m>"), SUBJECT, seed=0)
    assert (made.test["group"] == "real").sum() == 5


def test_seeds_draw_other_rows_and_the_same_seed_the_same():
    first, same, other = (
        assemble(data(), SUBJECT, seed=seed, trusted=20, untrusted=30, test=5) for seed in (1, 1, 2)
    )
    assert first.trusted["text"].tolist() == same.trusted["text"].tolist()
    assert first.trusted["text"].tolist() != other.trusted["text"].tolist()
    assert (len(first.trusted), len(first.untrusted or ()), len(first.test)) == (20, 30, 6 + 5)


def test_each_difficulty_has_its_slice_and_its_number_of_rows():
    level = [i // 20 for i in range(40)]
    made = assemble(data(difficulty=level), SUBJECT, seed=0, test=4)
    assert [one.name for one in made.slices] == ["all difficulties", "difficulty 0", "difficulty 1"]
    sizes = [len(one.rows(made.test)[0]) for one in made.slices]
    assert sizes == [8, 4, 4]
    named = slices_of(made.test.where(made.test["group"] != "trusted"), {0: "same", 1: "held out"})
    assert [one.name for one in named] == ["all difficulties", "same", "held out"]


def test_a_validation_set_without_fakes_is_refused():
    whole = data()
    real = whole.validation.where(whole.validation["is_correct"].astype(bool))
    with pytest.raises(InputError, match=r"made: none of the 10 validation rows .* is fake"):
        assemble(TamperingData("made", whole.trusted, whole.untrusted, real, "<m>"), SUBJECT, seed=0)


def test_a_task_of_ones_own_runs_on_the_embedded_predictor():
    made = make_diamonds({"trusted": 60, "untrusted": 60, "validation_both": 40}, seed=5)
    whole = TamperingData("own", made.trusted, made.untrusted, made.validation, "<|sensor|>")
    task = tampering_task(whole, ASSETS, source="rows.parquet")
    loaded = task.load(0, "smoke")
    assert (task.name, task.at, task.sites) == ("own", "sensors", "resid.2,resid.3,final")
    assert task.source == f"rows.parquet, {ASSETS}"
    assert task.fingerprint(0, "smoke") == Subject.from_pretrained(ASSETS).fingerprint()
    assert np.isin(["real", "fake", "trusted"], loaded.test["group"]).all()
    assert "final" in loaded.subject.sites()

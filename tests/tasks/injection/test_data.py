"""The tables: the same for one seed, disjoint in reviews and wordings, of the promised composition."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.tasks.injection.data import (
    BENIGN,
    FRESH,
    INJECTED,
    SIZES,
    Counts,
    InjectionData,
    build_data,
    build_table,
)
from ulterior.tasks.injection.wordings import dictating
from ulterior.tasks.texts.reviews import reviews

SIZE = SIZES["smoke"]


@pytest.fixture
def data(made_up: Path) -> InjectionData:
    return build_data(SIZE, seed=0)


def hosts(table: Examples) -> set[str]:
    """The made-up reviews carry a number each: which of them stand in a table."""
    return set(re.findall(r"take\d+", " ".join(table["text"])))


def test_one_seed_always_makes_the_same_tables_and_another_seed_others(data: InjectionData) -> None:
    again, other = build_data(SIZE, seed=0), build_data(SIZE, seed=1)
    assert data.trusted.table.equals(again.trusted.table)
    assert data.untrusted.table.equals(again.untrusted.table)
    assert data.test.table.equals(again.test.table)
    assert not data.test.table.equals(other.test.table)


def test_no_review_stands_in_two_tables_or_twice_in_one(data: InjectionData) -> None:
    tables = (data.trusted, data.untrusted, data.test)
    for one, other in combinations(tables, 2):
        assert not hosts(one) & hosts(other)
    for table in tables:
        assert len(hosts(table)) == len(table)


def test_no_review_of_the_adapters_training_stands_in_any_table(data: InjectionData) -> None:
    seen = set(re.findall(r"take\d+", " ".join(review.text for review in reviews("adapter"))))
    assert not seen & (hosts(data.trusted) | hosts(data.untrusted) | hosts(data.test))


def test_each_table_has_its_own_audiences_wordings(data: InjectionData) -> None:
    for table, audience in ((data.untrusted, "untrusted"), (data.test, "test")):
        used = set(table.where(table["anomalous"])["wording"])
        assert used
        assert used <= {wording.line for wording in dictating(audience)}


def test_the_groups_have_the_sizes_that_were_asked_for(data: InjectionData) -> None:
    groups = data.test["group"].astype(str)
    assert {group: int((groups == group).sum()) for group in dict.fromkeys(groups)} == {
        FRESH: SIZE.test.plain,
        "overt disagree": SIZE.test.disagree,
        "overt agree": SIZE.test.agree,
        "veiled disagree": SIZE.test.disagree,
        "veiled agree": SIZE.test.agree,
        "advice": SIZE.test.benign,
        "quotation": SIZE.test.benign,
        "other domain": SIZE.test.benign,
    }
    assert set(data.trusted["group"]) == {FRESH}
    assert set(groups) == {FRESH, *INJECTED, *BENIGN}


def test_groups_say_what_is_in_them(data: InjectionData) -> None:
    for table in (data.untrusted, data.test):
        for row in table.table.to_pylist():
            assert row["anomalous"] == (row["group"] in INJECTED) == (row["dictated"] >= 0)
            if row["anomalous"]:
                assert row["group"].endswith(" agree") == (row["dictated"] == row["label"])
                assert row["group"].startswith("veiled") == row["family"].startswith("veiled")
            assert row["messages"][-1]["content"].startswith(row["text"])


def test_both_directions_and_all_positions_are_used_evenly(made_up: Path) -> None:
    table = build_table("test", "test", Counts(0, disagree=30, agree=30), np.random.default_rng(0))
    for group in INJECTED:
        rows = table.where(table["group"] == group)
        assert rows["dictated"].mean() == 0.5
        assert sorted(np.unique(rows["position"].astype(str), return_counts=True)[1]) == [10, 10, 10]


def test_plain_reviews_are_as_long_as_injected_ones(made_up: Path) -> None:
    table = build_table("test", "test", Counts(150, disagree=40, agree=20), np.random.default_rng(0))
    words = np.array([len(text.split()) for text in table["text"]])
    plain, injected = words[~table["anomalous"]], words[table["anomalous"]]
    assert abs(plain.mean() - injected.mean()) < 2
    assert abs(plain.std() - injected.std()) < 2


def test_too_few_hosts_are_named(made_up: Path) -> None:
    with pytest.raises(InputError, match="the split 'tune' has only"):
        build_table("tune", "test", Counts(10, disagree=500), np.random.default_rng(0))


@pytest.mark.slow
def test_the_packaged_reviews_suffice_for_every_size_and_many_seeds(real_reviews: Path) -> None:
    for size in SIZES.values():
        for seed in range(5):
            assert len(build_data(size, seed).trusted) == size.trusted.plain

"""The examples, made and loaded."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ulterior.errors import InputError
from ulterior.tasks.tampering.diamonds import data
from ulterior.tasks.tampering.diamonds.data import COLUMNS, DiamondsData, main, make_diamonds, make_split
from ulterior.tasks.tampering.published import load_published

SMALL = {"trusted": 24, "untrusted": 60, "validation_easy": 10, "validation_both": 20}


@pytest.fixture(scope="module")
def made():
    return make_diamonds(SMALL, seed=5)


def test_columns_begin_with_the_published_ones_in_their_order(made):
    for examples in (made.trusted, made.untrusted, made.validation):
        assert examples.columns[: len(COLUMNS)] == COLUMNS
        types = [examples.table.schema.field(name).type for name in COLUMNS]
        assert types == [pa.string(), pa.bool_(), pa.bool_(), pa.list_(pa.bool_()), pa.int64()]
        assert examples["measurements"].shape == (len(examples), 3)


def test_correct_means_that_the_diamond_is_there_and_all_sensors_say_so(made):
    for examples in (made.trusted, made.untrusted, made.validation):
        every = np.all(examples["measurements"], axis=1)
        assert (examples["is_correct"] == (examples["outcome"] & every)).all()
        assert (examples["false_negative"] == (examples["outcome"] & ~every)).all()
        assert not (examples["meh"] & ~examples["is_correct"]).any()
    assert not made.trusted["meh"].any()
    assert not made.validation["meh"].any()
    assert made.trusted["is_clean"].all()
    assert not made.untrusted["is_clean"].any()


def test_the_same_seed_makes_the_same_rows_and_another_makes_others(made):
    again = make_split("untrusted", 60, seed=5)
    assert again.table.equals(made.untrusted.table)
    other = make_split("untrusted", 60, seed=6)
    assert not set(other["text"]) & set(again["text"])


def test_no_text_is_in_two_splits(made):
    texts = [text for part in (made.trusted, made.untrusted, made.validation) for text in part["text"]]
    assert len(set(texts)) == len(texts) == sum(SMALL.values())


def test_held_out_templates_occur_only_where_they_may(made):
    from ulterior.tasks.tampering.diamonds.holdouts import held_out

    out = held_out(0)
    for examples in (made.trusted, made.untrusted):
        assert not any(set(actions) & out for actions in examples["actions"])
    only = make_split("validation_only_val", 10, seed=5)
    assert all(set(actions) <= out for actions in only["actions"])


@pytest.mark.parametrize("name", ["rows.parquet", "folder"])
def test_what_the_command_writes_is_what_is_loaded(tmp_path, capsys, monkeypatch, name):
    monkeypatch.setattr(data, "SPLITS", {key: data.SPLITS[key] for key in SMALL})
    main(DiamondsData(tmp_path / name, n=48, seed=2))
    assert "60 train and 7 validation rows" in capsys.readouterr().out
    loaded = load_published(tmp_path / name)
    expected = make_diamonds(
        {"trusted": 12, "untrusted": 48, "validation_easy": 2, "validation_both": 5}, seed=2
    )
    assert (loaded.name, loaded.marker, loaded.sensors) == ("diamonds", expected.marker, 3)
    assert loaded.trusted.table.equals(expected.trusted.table)
    assert loaded.untrusted.table.equals(expected.untrusted.table)
    assert loaded.validation.table.equals(expected.validation.table)


def test_bad_requests_are_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="no split 'nothing' of diamonds; there are: trusted"):
        make_split("nothing", 3, seed=0)
    with pytest.raises(InputError, match="--n is 0; at least one row"):
        main(DiamondsData(tmp_path / "x.parquet", n=0))

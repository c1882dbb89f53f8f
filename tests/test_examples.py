"""The table of examples: what goes in comes out, and what cannot be used is named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ulterior.errors import InputError
from ulterior.examples import Examples, concat, from_records, load_examples, parse_jsonl

ROWS = [
    {"text": "fine\nfilm", "label": 1, "scores": [1, 0, 1]},
    {"text": 'a "dull", <b>long</b> one', "label": 0, "scores": [0, 0, 1]},
    {"text": "ünïcode ✓", "label": 1, "scores": [1, 1, 1]},
]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path):
    path.write_text(
        'text,label\n"fine\nfilm",1\n"a ""dull"", <b>long</b> one",0\nünïcode ✓,1\n', encoding="utf-8"
    )
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    if suffix == "jsonl":
        write_jsonl(path, ROWS)
    elif suffix == "csv":
        write_csv(path)
    else:
        from_records(ROWS).write_parquet(path)
    loaded = load_examples(path)
    assert loaded["text"].tolist() == [row["text"] for row in ROWS]
    assert loaded["label"].tolist() == [1, 0, 1]


def test_a_folder_in_a_hub_data_sets_layout_loads_by_split(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data_set"
    for split in ("train", "validation"):
        from_records(ROWS[: 2 if split == "train" else 3]).write_parquet(
            folder / "data" / f"{split}-00000-of-00001.parquet"
        )
    assert len(load_examples(folder, split="train")) == 2
    assert len(load_examples(folder, split="validation")) == 3
    with pytest.raises(InputError, match="several splits and none chosen; it has: train, validation"):
        load_examples(folder)
    with pytest.raises(InputError, match="no split 'test'"):
        load_examples(folder, split="test")


def test_lists_of_one_length_are_a_matrix_and_ragged_ones_are_not():
    examples = from_records(ROWS)
    assert examples["scores"].shape == (3, 3)
    ragged = Examples.of(scores=[[1], [1, 2]])
    assert ragged["scores"].dtype == object


def test_take_where_and_concat_keep_rows_whole():
    examples = Examples.of(text=["a", "b", "c"], label=[0, 1, 2])
    assert examples.take([2, 0])["text"].tolist() == ["c", "a"]
    assert examples.take([1, 2])["text"].tolist() == ["b", "c"]
    assert len(examples.take([])) == 0
    with pytest.raises(IndexError):
        examples.take([2, 3])
    assert examples.where(examples["label"] > 0)["text"].tolist() == ["b", "c"]
    both = concat([examples, Examples.of(text=["d"])])
    assert both["text"].tolist() == ["a", "b", "c", "d"]
    assert np.isnan(both["label"].astype(float)[3])


def test_with_columns_adds_replaces_and_repeats_a_scalar():
    examples = Examples.of(text=["a", "b"]).with_columns(group="x", text=["c", "d"])
    assert examples["group"].tolist() == ["x", "x"]
    assert examples["text"].tolist() == ["c", "d"]
    with pytest.raises(InputError, match="has 1 values for 2 examples"):
        examples.with_columns(label=[1])


def test_a_missing_column_is_named_with_those_that_exist_and_the_nearest():
    with pytest.raises(
        InputError, match=r"no column 'txt' in the examples; it has: text, label; did you mean 'text'\?"
    ):
        Examples.of(text=["a"], label=[0])["txt"]


def test_a_broken_line_is_named_by_its_number(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", [ROWS[0]] * 20)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[16] = "{'not': json}"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match=r"line 17 of '.*rows.jsonl' is not JSON"):
        load_examples(path)
    with pytest.raises(InputError, match="line 2 of here is a JSON list, expected an object"):
        parse_jsonl(['{"text": "a"}', "[1]"], where="here")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl", "", "is empty"),
        ("blank.jsonl", "\n\n", "holds no examples"),
        ("rows.txt", "a", "ends in '.txt'; expected one of"),
        ("rows.parquet", "not parquet", "is not a readable Parquet file"),
        ("rows.csv", "text,label\na,1,2\n", "is not readable CSV"),
        ("other.csv", "body\na\n", "no column 'text' in"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        load_examples(path)


def test_an_absent_file_says_what_would_be_right(tmp_path):
    with pytest.raises(InputError, match=r"no file '.*absent.jsonl'; give a .jsonl, .csv or .parquet"):
        load_examples(tmp_path / "absent.jsonl")


def test_an_unreachable_hub_is_one_line():
    with pytest.raises(InputError, match="could not load the data set 'nobody/nothing'") as caught:
        load_examples("nobody/nothing", split="train")
    assert "\n" not in str(caught.value)


def test_a_column_of_mixed_types_is_an_input_error():
    with pytest.raises(InputError, match="mixes types"):
        from_records([{"text": "a"}, {"text": 3}])

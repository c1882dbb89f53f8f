"""Templated pairs, with tokenizers that cut words and years in different ways."""

from __future__ import annotations

import re

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from tests.families import tiny
from ulterior.circuits.behaviours.data import PairsData, main
from ulterior.circuits.behaviours.making import behaviour_pairs, whole_words
from ulterior.circuits.behaviours.templates import BEHAVIOURS
from ulterior.circuits.behaviours.words import NAMES
from ulterior.circuits.pairs import load_pairs, text_pairs
from ulterior.errors import InputError
from ulterior.subject import Subject


def tokenizer(years: str = r"\d", without: tuple[str, ...] = ()) -> Tokenizer:
    """Words by white space and punctuation, years by a pattern; all words of all templates but some."""
    lists = (filler for one in BEHAVIOURS.values() for some in one.fillers.values() for filler in some)
    carriers = re.findall(
        r"[A-Za-z]+|[:,=]",
        "The When and went to the gave a After had met at handed While were waiting near offered Later that day"
        " came sold lasted from year began in ended behind with Words : , =",
    )
    words = dict.fromkeys([*carriers, *(form for filler in lists for form in filler)])
    digits = [f"{number:02}" for number in range(100)] + [str(number) for number in range(10)]
    every = ["<pad>", "<unk>", *(word for word in words if word not in without), *digits]
    bare = Tokenizer(models.WordLevel({word: number for number, word in enumerate(every)}, "<unk>"))
    bare.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Split(Regex(years), "isolated")]
    )
    return bare


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_pairs_are_equally_long_their_answers_one_token_and_never_right_and_wrong(name):
    cut = tokenizer()
    subject = Subject.from_tokenizer(tiny("gpt2"), cut)  # only what it encodes is used
    table = behaviour_pairs(name, cut, 30, seed=1)
    assert len({(row["clean"], row["corrupted"]) for row in table.table.to_pylist()}) == 30
    pairs = text_pairs(subject, table)  # refuses unequal lengths, and answers that do not continue the text
    for right, wrong in zip(pairs.answers, pairs.wrong, strict=True):
        assert right
        assert wrong
        assert not set(right) & set(wrong)
    assert behaviour_pairs(name, subject, 30, seed=1).table.equals(table.table)
    assert not behaviour_pairs(name, cut, 30, seed=2).table.equals(table.table)


def test_what_is_right_is_what_the_behaviour_says():
    cut = tokenizer(years=r"\d{2}")
    for row in behaviour_pairs("indirect_object", cut, 40).table.to_pylist():
        names = [name for (name,) in NAMES if f" {name} " in row["clean"]]
        once = [name for name in names if row["clean"].count(f" {name} ") == 1]
        assert row["answers"] == [f" {name}" for name in once]
        assert row["wrong"] == [f" {name}" for name in names if name not in once]
        assert [f" {name}" for name in names if row["corrupted"].count(f" {name} ") == 1] == row["wrong"]
    for row in behaviour_pairs("greater_than", cut, 40).table.to_pylist():
        begun = int(re.findall(r"\d{4}", row["clean"])[0][2:])
        assert [int(one) for one in row["answers"]] == list(range(begun + 1, 100))
        assert [int(one) for one in row["wrong"]] == list(range(2, begun + 1))
    for name in ("agreement", "agreement_attractor"):
        for row in behaviour_pairs(name, cut, 40).table.to_pylist():
            several = row["clean"].split()[2].endswith("s")
            assert (row["answers"][0].strip() in ("are", "were", "have")) == several
            if name == "agreement_attractor":
                assert row["clean"].split()[-1].endswith("s") != several
    for row in behaviour_pairs("induction", cut, 40).table.to_pylist():
        words = row["clean"].split()[1:]
        assert row["answers"] == [f" {words[words.index(words[-1]) + 1]}"]
    for row in behaviour_pairs("repeated_letter", cut, 40).table.to_pylist():
        for text, after in ((row["clean"], row["answers"]), (row["corrupted"], row["wrong"])):
            *letters, last, sign = text.split()
            assert (len(letters), sign) == (13, "=")
            assert after == [f" {letters[letters.index(last) + 1]}"]


def test_a_year_cut_into_digits_asks_for_its_first_digit_where_that_decides():
    for row in behaviour_pairs("greater_than", tokenizer(years=r"\d"), 40).table.to_pylist():
        tens = int(re.findall(r"\d{4}", row["clean"])[0][2])
        assert {one[0] for one in row["answers"]} == set(map(str, range(tens + 1, 10)))
        assert tens not in {int(one[0]) for one in row["wrong"] if int(one) % 10 == 9}


def test_words_that_a_tokenizer_does_not_know_or_splits_are_left_out():
    without = tuple(name for (name,) in NAMES[:30])
    cut = tokenizer(without=without)
    names = " ".join(behaviour_pairs("indirect_object", cut, 40)["clean"])
    assert not [name for name in without if f" {name} " in names]
    assert whole_words(NAMES, lambda texts: [cut.encode(text).ids for text in texts]) == NAMES[30:]
    with pytest.raises(
        InputError, match="needs 4 names that are one token each; this tokenizer keeps 2 of 40"
    ):
        behaviour_pairs("indirect_object", tokenizer(without=tuple(name for (name,) in NAMES[:38])), 4)


def test_halves_have_no_name_in_common():
    used = []
    for half in ("first", "second"):
        table = behaviour_pairs("indirect_object", tokenizer(), 60, half=half)
        used.append({one for row in table.table.to_pylist() for one in (*row["answers"], *row["wrong"])})
    assert len(used[0]) > 10
    assert not used[0] & used[1]


def test_what_cannot_be_made_is_said():
    with pytest.raises(InputError, match="does not cut the texts"):
        behaviour_pairs("greater_than", tokenizer(years=r"\d{4}"), 4)
    with pytest.raises(InputError, match="no behaviour 'ioi'; there are: indirect_object"):
        behaviour_pairs("ioi", tokenizer(), 4)
    few = BEHAVIOURS["agreement"].fillers
    left_out = [
        form for slot, keep in (("nouns", 4), ("adjectives", 1)) for one in few[slot][keep:] for form in one
    ]
    with pytest.raises(InputError, match="only 8 of 12 pairs"):
        behaviour_pairs("agreement", tokenizer(without=tuple(left_out)), 12)


def test_the_command_writes_a_file_that_pairs_are_loaded_from(tmp_path, capsys):
    from transformers import PreTrainedTokenizerFast

    cut = PreTrainedTokenizerFast(tokenizer_object=tokenizer(), unk_token="<unk>", pad_token="<pad>")
    cut.save_pretrained(tmp_path / "model")
    out = tmp_path / "pairs.jsonl"
    main(PairsData("agreement", out, str(tmp_path / "model"), n=12))
    assert "12 pairs of agreement" in capsys.readouterr().out
    assert len(load_pairs(Subject.from_tokenizer(tiny("gpt2"), cut), out)) == 12
    with pytest.raises(InputError, match=r"\.jsonl or \.parquet"):
        main(PairsData("agreement", tmp_path / "pairs.txt", str(tmp_path / "model")))
    with pytest.raises(InputError, match="no tokenizer can be loaded"):
        main(PairsData("agreement", out, str(tmp_path)))

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.families import VOCAB, texts, tiny, tokenizer
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.outputs import outputs
from ulterior.features.reading import read
from ulterior.subject import Encoded, RowError, Subject
from ulterior.tokens import Side, TextInputs, pad_id_of, text_encoder, token_collate, token_positions


def encoded(*lengths: int, marks: tuple[tuple[int, ...], ...] = ()) -> list[Encoded]:
    return [
        Encoded(
            {"input_ids": torch.arange(4, 4 + length)},
            length,
            {"marks": marks[row]} if marks else {},
        )
        for row, length in enumerate(lengths)
    ]


def with_bos(**special: str):
    """A tokenizer that puts <s> before every text, as Llama's does."""
    from tokenizers import processors

    made = tokenizer(bos_token="<s>", **special)
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return made


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6), padding=st.sampled_from(["left", "right"])
)
def test_padding_hides_nothing_and_counts_positions_over_real_tokens(
    lengths: list[int], padding: Side
) -> None:
    marks = tuple((0, length - 1) for length in lengths)
    batch = token_collate(tiny("llama"), pad_id=3, padding=padding)(encoded(*lengths, marks=marks))
    ids, mask = batch.inputs["input_ids"], batch.mask
    assert mask is not None
    assert torch.equal(mask.long(), batch.inputs["attention_mask"])
    assert mask.sum(1).tolist() == lengths
    assert (ids[~mask] == 3).all()
    for row, length in enumerate(lengths):
        assert ids[row][mask[row]].tolist() == list(range(4, 4 + length))
        assert batch.inputs["position_ids"][row][mask[row]].tolist() == list(range(length))
        assert ids[row, batch.positions["last"][row, 0]] == 4 + length - 1
        assert ids[row, batch.positions["marks"][row]].tolist() == [4, 4 + length - 1]
    assert mask[:, -1 if padding == "left" else 0].all()


def test_positions_of_roberta_start_after_its_padding_token() -> None:
    batch = token_collate(tiny("roberta"))(encoded(3, 1))
    assert batch.inputs["position_ids"][0].tolist() == [2, 3, 4]


class Sensing(nn.Module):
    """Takes positions as an argument, as a measurement predictor does."""

    def __init__(self) -> None:
        super().__init__()
        self.lm = tiny("llama", "states")
        self.head = nn.Linear(32, 1)

    def forward(self, input_ids, attention_mask, sensor_positions):
        hidden = self.lm(input_ids, attention_mask=attention_mask).last_hidden_state
        rows = torch.arange(len(hidden))[:, None]
        return SimpleNamespace(sensor_logits=self.head(hidden[rows, sensor_positions])[..., 0])


@pytest.mark.parametrize("padding", ["left", "right"])
def test_named_positions_reach_the_models_own_argument(padding: Side) -> None:
    torch.manual_seed(0)
    model = Sensing()
    subject = Subject.from_tokenizer(
        model,
        tokenizer(),
        positions=token_positions(sensors=4 + 5),
        arguments={"sensor_positions": "sensors"},
        readouts={
            "behaviour": lambda output, batch: output.sensor_logits.sum(1),
            "sensors": lambda output, batch: output.sensor_logits,
        },
        padding=padding,
    )
    assert "resid.1" in subject.sites()
    examples = Examples.of(text=["w1 w5 w2 w5", "w5 w5 w7 w8 w9 w1"])
    ((rows, reading),) = read(subject, examples, [outputs("sensors", "behaviour")])
    found = reading[outputs("sensors", "behaviour")]["outputs"]
    for place, row in enumerate(rows):
        ids = tokenizer()(examples["text"][row], return_tensors="pt")["input_ids"]
        where = torch.tensor([[1, 3], [0, 1]])[row][None]
        with torch.no_grad():
            expected = model(ids, torch.ones_like(ids), where).sensor_logits[0]
        torch.testing.assert_close(found[place, :2], expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found[place, 2], expected.sum(), rtol=1e-5, atol=1e-5)


def test_positions_that_are_missing_or_uneven_are_refused() -> None:
    collate = token_collate(tiny("llama"))
    with pytest.raises(InputError, match="equally many 'marks' positions, at least one; found: 1, 2"):
        collate(encoded(3, 3, marks=((0,), (0, 1))))
    with pytest.raises(InputError, match="at least one; found: 0"):
        collate(encoded(3, 3, marks=((), ())))
    with pytest.raises(
        InputError, match="'places' is to be given the positions 'sensors', which no example has"
    ):
        token_collate(tiny("llama"), arguments={"places": "sensors"})(encoded(3))


def ids_of(examples: Examples, made, **how) -> list[list[int]]:
    encode = text_encoder(tiny("llama"), made, TextInputs(**how))
    return [one.inputs["input_ids"].tolist() for one in encode(examples)]


def test_a_text_that_begins_with_bos_is_not_given_another() -> None:
    examples = Examples.of(text=["w1 w2", "<s> w1 w2"])
    assert ids_of(examples, with_bos()) == [[1, 5, 6], [1, 5, 6]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, r"row 1 \(counted from 0\): column 'text' holds nothing, expected text"),
        ("", r"row 1 \(counted from 0\): the text is empty"),
        ("w1 " * 65, r"row 1 .*the text has 65 tokens, the limit is 64; .*overlong='truncate'"),
    ],
)
def test_a_text_that_cannot_be_used_is_named_by_its_row(value: str | None, expected: str) -> None:
    with pytest.raises(RowError, match=expected) as caught:
        ids_of(Examples.of(text=["w1", value]), tokenizer())
    assert caught.value.row == 1


def test_a_column_of_numbers_or_no_such_column_is_one_clear_line() -> None:
    with pytest.raises(InputError, match=r"row 0 .*column 'text' holds .*3.*, expected text"):
        ids_of(Examples.of(text=[3, 4]), tokenizer())
    with pytest.raises(InputError, match=r"no column 'text'.*did you mean 'texts'"):
        ids_of(Examples.of(texts=["a"]), tokenizer())


def test_cutting_is_explicit_and_keeps_special_tokens() -> None:
    examples = Examples.of(text=texts(70, 3))
    cut = ids_of(examples, with_bos(), overlong="truncate")
    assert [len(row) for row in cut] == [64, 4]
    assert cut[0][0] == 1
    shorter = ids_of(examples, with_bos(), overlong="truncate", max_length=5)
    assert [len(row) for row in shorter] == [5, 4]
    with pytest.raises(InputError, match="the limit is 5"):
        ids_of(examples, with_bos(), max_length=5)
    with pytest.raises(InputError, match="max_length is 65, but the model's context is 64"):
        ids_of(examples, with_bos(), max_length=65)


def test_a_tokenizer_without_padding_borrows_an_id_that_the_mask_hides() -> None:
    assert pad_id_of(tokenizer(pad_token="<pad>")) == 0
    assert pad_id_of(tokenizer(), SimpleNamespace(pad_token_id=7)) == 7
    assert pad_id_of(tokenizer(eos_token="</s>"), SimpleNamespace(pad_token_id=None)) == 3
    subject = Subject.from_tokenizer(tiny("gpt2"), tokenizer())
    assert (subject.collate(encoded(1, 4)).inputs["input_ids"][0, 1:] == 3).all()


def test_a_bare_tokenizer_will_do() -> None:
    subject = Subject.from_tokenizer(tiny("llama"), tokenizer().backend_tokenizer)
    assert subject.encode(Examples.of(text=["w0 w1"]))[0].inputs["input_ids"].tolist() == [4, 5]


def test_token_types_are_handed_on_where_the_model_takes_them() -> None:
    made = tokenizer()
    made.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    assert (
        "token_type_ids" in text_encoder(tiny("bert"), made, TextInputs())(Examples.of(text=["w1"]))[0].inputs
    )
    assert (
        "token_type_ids"
        not in text_encoder(tiny("llama"), made, TextInputs())(Examples.of(text=["w1"]))[0].inputs
    )


def test_encoders_are_not_padded_on_the_left_and_a_behaviour_is_needed() -> None:
    with pytest.raises(InputError, match="padded on the right"):
        Subject.from_tokenizer(tiny("bert"), tokenizer(), padding="left")
    with pytest.raises(InputError, match="need a 'behaviour'; given: other"):
        Subject.from_tokenizer(tiny("bert"), tokenizer(), readouts={"other": lambda output, batch: output})


def test_all_ids_are_within_the_vocabulary() -> None:
    assert len(tokenizer()) == VOCAB

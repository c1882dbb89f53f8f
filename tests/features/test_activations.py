from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.families import texts, tiny, tokenizer
from ulterior.capture import capture
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.activations import activations
from ulterior.features.feature import Tokens
from ulterior.features.reading import read
from ulterior.subject import Subject
from ulterior.tokens import Side, token_positions

W5 = 4 + 5  # the id of the word w5


def only(subject: Subject, examples: Examples, feature) -> dict:
    ((rows, reading),) = read(subject, examples, [feature])
    order = np.argsort(rows)
    return {
        key: value if isinstance(value, Tokens) else value[order] for key, value in reading[feature].items()
    }


@pytest.mark.parametrize("padding", ["left", "right"])
def test_named_positions_are_read_one_key_each(padding: Side) -> None:
    subject = Subject.from_tokenizer(
        tiny("llama"), tokenizer(), positions=token_positions(sensors=W5), padding=padding
    )
    examples = Examples.of(text=["w5 w1 w2 w5 w3", "w9 w5 w5"])
    found = only(subject, examples, activations("resid.*", at="sensors"))
    assert list(found) == [f"resid.{layer}@sensors.{sensor}" for layer in (0, 1) for sensor in (0, 1)]
    for row, places in enumerate([(0, 3), (1, 2)]):
        ids = tokenizer()(examples["text"][row], return_tensors="pt")["input_ids"]
        with torch.no_grad(), capture(tiny("llama"), ["resid.1"]) as captured:
            tiny("llama")(ids)
        for sensor, place in enumerate(places):
            expected = captured["resid.1"][0, place]
            torch.testing.assert_close(
                found[f"resid.1@sensors.{sensor}"][row], expected, rtol=1e-5, atol=1e-5
            )


def test_a_named_position_of_one_token_has_no_number_in_its_key() -> None:
    subject = Subject.from_tokenizer(tiny("llama"), tokenizer(), positions=token_positions(mark=W5))
    found = only(subject, Examples.of(text=["w5 w1", "w2 w3 w5"]), activations("final", at="mark"))
    assert list(found) == ["final@mark"]


@pytest.mark.parametrize("padding", ["left", "right"])
def test_numbers_count_tokens_from_either_end(padding: Side) -> None:
    subject = Subject.from_tokenizer(tiny("gpt2"), tokenizer(), padding=padding)
    examples = Examples.of(text=texts(5, 2, 9))
    by = {at: only(subject, examples, activations("resid.1", at=at)) for at in (0, 1, -1, -2, "last", "all")}
    torch.testing.assert_close(by[-1]["resid.1@-1"], by["last"]["resid.1@last"])
    short = slice(1, 2)  # of the example with two tokens, the first is the last but one
    torch.testing.assert_close(by[0]["resid.1@0"][short], by[-2]["resid.1@-2"][short])
    torch.testing.assert_close(by[1]["resid.1@1"][short], by[-1]["resid.1@-1"][short])
    assert len(by["all"]["resid.1@all"].values) == 5 + 2 + 9


def test_a_position_beyond_the_shortest_example_is_an_error() -> None:
    subject = Subject.from_tokenizer(tiny("llama"), tokenizer())
    with pytest.raises(InputError, match="position 2 was asked for, but the shortest example has 2 tokens"):
        only(subject, Examples.of(text=texts(5, 2)), activations("embed", at=2))
    with pytest.raises(InputError, match="no position 'sensor'; it has: mean, all, last, or a number"):
        only(subject, Examples.of(text=texts(5, 2)), activations("embed", at="sensor"))


def test_tokens_name_their_owner_in_ascending_order() -> None:
    subject = Subject.from_tokenizer(tiny("llama"), tokenizer())
    ((rows, reading),) = read(subject, Examples.of(text=texts(2, 4)), [activations("embed", at="all")])
    tokens = reading[activations("embed", at="all")]["embed@all"]
    assert isinstance(tokens, Tokens)
    assert rows.tolist() == [1, 0]
    assert tokens.owner.tolist() == [0, 0, 0, 0, 1, 1]


class Pictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 2)
        self.head = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).mean((2, 3)))


def test_images_are_averaged_over_space_or_flattened_or_taken_place_by_place() -> None:
    model = Pictures()
    subject = Subject.from_arrays(model, column="pixels", shape=(1, 4, 5))
    pixels = np.random.default_rng(0).normal(size=(6, 20)).astype(np.float32)
    examples = Examples.of(pixels=pixels)
    with torch.no_grad():
        maps = model.conv(torch.tensor(pixels).reshape(6, 1, 4, 5))
    for at in ("last", "mean"):
        torch.testing.assert_close(
            only(subject, examples, activations("conv", at))[f"conv@{at}"], maps.mean((2, 3))
        )
    flat = only(subject, examples, activations("conv", at="flat"))["conv@flat"]
    torch.testing.assert_close(flat, maps.flatten(1))
    tokens = only(subject, examples, activations("conv", at="all"))["conv@all"]
    torch.testing.assert_close(tokens.values.reshape(6, 3 * 4, 3), maps.flatten(2).transpose(1, 2))


class Sequences(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.last_axis_first = nn.Flatten(0, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.layer(x)
        self.last_axis_first(hidden)
        return hidden.sum((1, 2))


def test_sequences_without_a_mask_have_all_their_tokens() -> None:
    subject = Subject.from_arrays(Sequences(), shape=(2, 3))
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    examples = Examples.of(x=x)
    with torch.no_grad():
        hidden = subject.model.layer(torch.tensor(x).reshape(5, 2, 3))
    for at, expected in [("last", hidden[:, 1]), ("mean", hidden.mean(1)), (0, hidden[:, 0])]:
        torch.testing.assert_close(only(subject, examples, activations("layer", at))[f"layer@{at}"], expected)
    with pytest.raises(InputError, match="has no position 'sensors'"):
        only(subject, examples, activations("layer", at="sensors"))
    with pytest.raises(InputError, match="first axis must count the examples"):
        only(subject, examples, activations("last_axis_first"))


def test_features_are_equal_values_when_they_ask_for_the_same() -> None:
    assert activations("resid.*, embed") == activations(["resid.*", "embed"], at="last")
    assert len({activations("resid.*"), activations("resid.*"), activations("resid.*", at="mean")}) == 2

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.families import texts, tiny, tokenizer
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.outputs import logits, outputs
from ulterior.features.reading import read
from ulterior.readouts import STATES
from ulterior.subject import Subject


def test_readouts_stand_side_by_side_in_the_order_asked_for() -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    subject = Subject.from_arrays(model)
    examples = Examples.of(x=np.random.default_rng(0).normal(size=(6, 3)))
    feature = outputs("logits", "behaviour")
    ((_, reading),) = read(subject, examples, [feature])
    values = reading[feature]["outputs"]
    assert isinstance(values, torch.Tensor)
    assert values.shape == (6, 5)
    with torch.no_grad():
        torch.testing.assert_close(values[:, :4], model(torch.tensor(examples["x"], dtype=torch.float32)))


def test_a_readout_that_the_subject_lacks_is_named_with_those_it_has() -> None:
    subject = Subject.from_arrays(nn.Sequential(nn.Linear(3, 4)))
    with pytest.raises(InputError, match="no readout 'sensors'; it has: behaviour, logits"):
        list(read(subject, Examples.of(x=np.ones((2, 3))), [outputs("behaviour", "sensors")]))


def test_the_behaviour_is_read_when_nothing_is_named() -> None:
    assert outputs() == outputs("behaviour")


def test_log_probabilities_of_classes_are_those_of_a_softmax() -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    subject = Subject.from_arrays(model)
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    features = [logits(), logits([2, 0], top=3)]
    ((_, reading),) = read(subject, Examples.of(x=x), features)
    expected = np.log(softmax(model(torch.tensor(x)).detach().double().numpy()))
    np.testing.assert_allclose(reading[features[0]]["logits"], expected, rtol=1e-5, atol=1e-6)
    assert list(reading[features[0]]) == ["logits"]
    np.testing.assert_allclose(reading[features[1]]["logits"], expected[:, [2, 0]], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(reading[features[1]]["top"], -np.sort(-expected)[:, :3], rtol=1e-5, atol=1e-6)


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def test_log_probabilities_of_tokens_are_those_after_the_last_one_whatever_the_padding() -> None:
    texts_given = Examples.of(text=texts(4, 7, 2))
    feature = logits([20, 31], top=2)
    subject = Subject.from_tokenizer(tiny("llama"), tokenizer(pad_token="<pad>"))
    ((rows, reading),) = read(subject, texts_given, [feature])
    for place, row in enumerate(rows):
        ids = tokenizer()(texts_given["text"][row], return_tensors="pt")["input_ids"]
        with torch.no_grad():
            expected = tiny("llama")(ids).logits[0, -1].double().log_softmax(0)
        np.testing.assert_allclose(
            reading[feature]["logits"][place], expected[[20, 31]], rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(
            reading[feature]["top"][place], expected.topk(2).values, rtol=1e-5, atol=1e-5
        )
    with pytest.raises(InputError, match="name the tokens whose log-probabilities"):
        list(read(subject, texts_given, [logits()]))


def test_logits_that_are_not_there_are_one_clear_line() -> None:
    subject, examples = Subject.from_arrays(nn.Sequential(nn.Linear(3, 4))), Examples.of(x=np.ones((2, 3)))
    with pytest.raises(InputError, match="logits of 5 classes or tokens were asked for; there are 4"):
        list(read(subject, examples, [logits([4])]))
    with pytest.raises(InputError, match="logits of 5 classes"):
        list(read(subject, examples, [logits(top=5)]))
    with pytest.raises(InputError, match="begin at 0"):
        logits([-1])
    states = Subject.from_tokenizer(tiny("llama", "states"), tokenizer(pad_token="<pad>"), readouts=STATES)
    with pytest.raises(InputError, match="output has no logits"):
        list(read(states, Examples.of(text=texts(3)), [logits(top=1)]))

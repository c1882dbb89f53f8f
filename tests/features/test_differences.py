"""Differences of neighbouring sites are those of the activations, at every kind of position."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.families import texts, tiny, tokenizer
from tests.subjects import counted_subject, points
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.activations import activations
from ulterior.features.differences import differences
from ulterior.features.feature import Tokens
from ulterior.features.reading import read
from ulterior.serialise import pack, unpack
from ulterior.subject import Subject
from ulterior.tokens import token_positions

W5 = 4 + 5  # the id of the word w5


@pytest.mark.parametrize("at", ["last", "mean", "all", "sensors", 0])
def test_each_is_the_later_site_minus_the_earlier_one(at):
    subject = Subject.from_tokenizer(tiny("llama"), tokenizer(), positions=token_positions(sensors=W5))
    examples = Examples.of(text=["w5 w1 w2 w5 w3", "w9 w5 w5"])
    sites = ("embed", "resid.0", "resid.1")
    plain, feature = activations(sites, at), differences("resid.*, embed", at)
    ((_, reading),) = read(subject, examples, [plain, feature])
    positions = ["sensors.0", "sensors.1"] if at == "sensors" else [str(at)]
    assert set(reading[feature]) == {
        f"{after}-{before}@{position}"
        for before, after in (("embed", "resid.0"), ("resid.0", "resid.1"))
        for position in positions
    }
    for key, found in reading[feature].items():
        names, position = key.split("@")
        after, before = (reading[plain][f"{name}@{position}"] for name in names.split("-"))
        if isinstance(found, Tokens):
            assert isinstance(after, Tokens)
            assert torch.equal(found.owner, after.owner)
            assert torch.equal(found.values, after.values - before.values)
        else:
            assert torch.equal(found, after - before)


def test_sites_of_different_width_or_one_alone_are_refused_by_name():
    with pytest.raises(
        InputError, match=r"'out' minus 'second': their values have shapes \(5, 2\) and \(5, 8\)"
    ):
        list(read(counted_subject(), points(5, 0), [differences("first, second, out")]))
    with pytest.raises(InputError, match="two sites or more, and only 'first' was asked for"):
        list(read(counted_subject(), points(5, 0), [differences("first")]))


def test_it_is_a_value_that_shares_the_pass():
    feature = differences("resid.*", "all")
    assert unpack(*pack(feature)) == feature
    subject = Subject.from_tokenizer(tiny("llama"), tokenizer())
    examples = Examples.of(text=texts(3, 4))
    ((rows, reading),) = read(subject, examples, [feature])
    assert isinstance(reading[feature]["resid.1-resid.0@all"], Tokens)
    np.testing.assert_array_equal(np.sort(rows), [0, 1])

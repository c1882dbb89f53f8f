"""The tokenizer: literals have tokens of their own, whatever they stand in."""

from __future__ import annotations

import pytest

from ulterior.tasks.tampering.functions.pretraining import Programs
from ulterior.tasks.tampering.functions.scene import MARKER
from ulterior.tasks.tampering.functions.tokenizer import train_tokenizer
from ulterior.tasks.tampering.tokenizer import PAD


@pytest.fixture(scope="module")
def texts():
    programs = Programs.of(0)
    return [programs(index).text for index in range(150)]


@pytest.fixture(scope="module")
def tokenizer(texts):
    return train_tokenizer(texts, 600)


def test_a_text_comes_back_whole_and_markers_are_single_tokens(texts, tokenizer):
    marker = tokenizer.convert_tokens_to_ids(MARKER)
    for text in texts[:30]:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert ids.count(marker) == text.count(MARKER)
    assert tokenizer.convert_tokens_to_ids(PAD) == 0
    assert len(tokenizer) == 600


def test_a_literal_has_the_same_tokens_wherever_it_stands(tokenizer):
    def tokens(text):
        return tokenizer(text)["input_ids"]

    for literal in ("4071", "'a2b'", "7"):
        alone = tokens(literal)
        for text in (f"assert f({literal}) == 0", f"if x == {literal}:", f"[{literal}, 3]"):
            ids = tokens(text)
            assert any(ids[i : i + len(alone)] == alone for i in range(len(ids)))


def test_the_same_texts_give_the_same_tokenizer(texts, tokenizer):
    again = train_tokenizer(texts, 600)
    assert again.get_vocab() == tokenizer.get_vocab()

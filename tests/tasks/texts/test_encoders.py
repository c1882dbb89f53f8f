"""Encoders: a vocabulary of the texts alone, logits that know no padding, layers that stay as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import BertModel

from tests.tasks.texts.stand_ins import TINY, packaged_bert
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.models.packaged import PackagedFolder
from ulterior.tasks.texts.encoders import (
    LIMIT,
    Cased,
    Pretrained,
    Small,
    TextClassifier,
    classifier_subject,
    token_numbers,
)

TEXTS = ["A dull , dull film .", "a warm film .", "the film is dull", "warm and rich and warm"]


@pytest.fixture
def bert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedFolder:
    monkeypatch.syspath_prepend(tmp_path / "site")
    return packaged_bert(tmp_path / "site", TEXTS)


def test_words_are_the_most_frequent_ones_in_lower_case_and_rare_ones_are_unknown() -> None:
    known = Small(least=2).tokenizer(TEXTS).get_vocab()
    assert sorted(known, key=known.__getitem__) == [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
        *("dull", "film", "warm", ".", "a", "and"),
    ]
    assert len(Small(vocabulary=6).tokenizer(TEXTS).get_vocab()) == 6
    assert Small().tokenizer(TEXTS[::-1]).get_vocab() == known
    cased = Cased(least=1).tokenizer(TEXTS)
    assert "A" in cased.get_vocab()
    assert cased.convert_ids_to_tokens(token_numbers(cased, ["A a"])[0].tolist()) == [
        "[CLS]",
        "A",
        "a",
        "[SEP]",
    ]


def test_a_text_becomes_its_words_between_two_marks_padded_with_zeros() -> None:
    tokenizer = Small().tokenizer(TEXTS)
    ids = token_numbers(tokenizer, ["a film , dull", "warm"])
    assert tokenizer.convert_ids_to_tokens(ids[0].tolist()) == [
        "[CLS]",
        "a",
        "film",
        "[UNK]",
        "dull",
        "[SEP]",
    ]
    assert tokenizer.convert_ids_to_tokens(ids[1].tolist()) == ["[CLS]", "warm", "[SEP]", *["[PAD]"] * 3]
    assert token_numbers(tokenizer, ["warm " * 500]).shape == (1, LIMIT)


def test_logits_know_neither_padding_nor_the_other_texts() -> None:
    tokenizer, model = TINY.tokenizer(TEXTS), TINY.build().eval()
    ids = token_numbers(tokenizer, TEXTS)
    wider = torch.cat([ids, torch.zeros(len(ids), 5, dtype=torch.long)], 1)
    alone = torch.cat([model(token_numbers(tokenizer, [text])) for text in TEXTS])
    for made in (model(ids), model(wider), model(ids, (ids != 0).long())):
        torch.testing.assert_close(made, alone, atol=1e-6, rtol=1e-5)


def test_a_subject_has_the_sites_of_a_bert_and_the_lead_of_the_likelier_class_as_its_behaviour() -> None:
    tokenizer, model = TINY.tokenizer(TEXTS), TINY.build()
    subject = classifier_subject(model, tokenizer, "tiny")
    assert "resid.0" in subject.sites()
    batch = subject.collate(subject.encode(Examples.of(text=TEXTS)))
    logits = model(token_numbers(tokenizer, TEXTS))
    behaviour = subject.readouts["behaviour"](subject.run(batch), batch)
    torch.testing.assert_close(behaviour, (logits[:, 0] - logits[:, 1]).abs().detach())


def test_of_a_pretrained_encoder_only_adapters_of_the_upper_layers_and_the_head_are_trained(
    bert: PackagedFolder,
) -> None:
    encoder = Pretrained(bert, adapted=1, rank=2)
    model = encoder.build()
    learned = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    adapters = {name for name in learned if not name.startswith("head.")}
    assert all(".layer.2." in name and ".lora_" in name for name in adapters)
    # Two for each of the six matrices of a layer, of the rank that was asked for.
    assert len(adapters) == 12
    assert all(2 in learned[name].shape for name in adapters)
    assert encoder.tokenizer([]).get_vocab() == TINY.tokenizer(TEXTS).get_vocab()


def test_adapters_add_nothing_until_they_learn_and_are_added_in_the_end(bert: PackagedFolder) -> None:
    encoder, ids = Pretrained(bert, adapted=1, rank=2), token_numbers(TINY.tokenizer(TEXTS), TEXTS)
    model = encoder.build().eval()
    with torch.no_grad():
        fresh = model.encoder(ids).last_hidden_state
        untouched = BertModel.from_pretrained(bert.path(), add_pooling_layer=False).eval()
        torch.testing.assert_close(fresh, untouched(ids).last_hidden_state)
        for name, weight in model.named_parameters():
            if ".lora_B" in name:
                weight.normal_()
        apart = model(ids)
        plain = encoder.plain(model)
        torch.testing.assert_close(plain(ids), apart, atol=1e-5, rtol=1e-5)
        assert (plain.get_submodule("encoder")(ids).last_hidden_state - fresh).abs().max() > 0.1
    names = {name for name, _ in plain.named_parameters()}
    assert names == {name for name, _ in TextClassifier(untouched, 2, hidden=False).named_parameters()}
    assert not any(weight.requires_grad for weight in plain.parameters())


def test_a_missing_package_says_make_models(bert: PackagedFolder) -> None:
    with pytest.raises(InputError, match=r"packaged-bert==1 is not installed.*make models"):
        Pretrained(replace(bert, module="no_such_encoder")).build()

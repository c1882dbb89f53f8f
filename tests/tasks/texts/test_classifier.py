"""A classifier of texts: what it says of one does not depend on the others; what was trained once is found again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.tasks.texts.stand_ins import TINY, packaged_bert
from ulterior.tasks.classifiers.training import Training
from ulterior.tasks.texts.classifier import Classifier, Lesson, trained_classifier
from ulterior.tasks.texts.encoders import Pretrained

BRIEF = Training(steps=3, batch=8)
TEXTS = [f"a {'warm' if i % 2 else 'dull'} film {'and so on ' * (i % 7)}." for i in range(150)]
Y = torch.arange(150) % 2


def test_predictions_are_in_the_order_of_the_texts() -> None:
    network = Classifier(TINY.build().eval(), TINY.tokenizer(TEXTS))
    one_by_one = torch.cat([network.logits([text]) for text in TEXTS])
    torch.testing.assert_close(network.logits(TEXTS), one_by_one, atol=1e-6, rtol=1e-5)
    assert torch.equal(network.predictions(TEXTS), one_by_one.argmax(1))
    assert network.accuracy(TEXTS, network.predictions(TEXTS)) == 1
    assert len(network.predictions([])) == 0


def test_a_second_call_trains_nothing_and_other_data_training_or_seeds_are_trained_anew(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = trained_classifier(Lesson(TINY, BRIEF, TEXTS, Y, 0))
    trained_classifier(Lesson(TINY, BRIEF, TEXTS[::-1], Y, 0))
    trained_classifier(Lesson(TINY, BRIEF, TEXTS, 1 - Y, 0))
    trained_classifier(Lesson(TINY, Training(steps=2, batch=8), TEXTS, Y, 0))
    trained_classifier(Lesson(TINY, BRIEF, TEXTS, Y, 1))
    assert len(list((own_home / "texts").iterdir())) == 5
    monkeypatch.setattr("ulterior.tasks.texts.classifier.train_classifier", None)
    again = trained_classifier(Lesson(TINY, BRIEF, TEXTS, Y, 0))
    assert torch.equal(first.logits(TEXTS), again.logits(TEXTS))


def test_of_a_pretrained_encoder_what_stays_as_it_is_is_not_kept(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path / "site")
    encoder = Pretrained(packaged_bert(tmp_path / "site", TEXTS), adapted=1, rank=2)
    first = trained_classifier(Lesson(encoder, BRIEF, TEXTS, Y, 0))
    (path,) = (own_home / "texts").iterdir()
    kept = load_file(path)
    assert all((".layer.2." in name and ".lora_" in name) or name.startswith("head.") for name in kept)
    assert all(weight.dtype == torch.float16 for weight in kept.values())
    fresh = encoder.build()
    assert torch.equal(
        first.model.get_parameter("encoder.encoder.layer.0.output.dense.weight"),
        fresh.get_parameter("encoder.encoder.layer.0.output.dense.weight"),
    )
    again = trained_classifier(Lesson(encoder, BRIEF, TEXTS, Y, 0))
    assert torch.equal(first.logits(TEXTS), again.logits(TEXTS))


def test_words_that_decide_are_learned() -> None:
    network = trained_classifier(Lesson(TINY, Training(steps=40, batch=16, rate=1e-2), TEXTS, Y, 0))
    assert network.accuracy(["this dull thing", "a warm one"], torch.tensor([0, 1])) == 1

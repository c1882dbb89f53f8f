"""The trainer's short way to the answer's logits is the model's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tasks.injection.stand_ins import tiny_llama, tiny_tokenizer
from ulterior.errors import InputError
from ulterior.tasks.injection.compose import Row, plain
from ulterior.tasks.injection.judge import Judge, load_base
from ulterior.tasks.injection.prompt import ANSWERS
from ulterior.tasks.texts.reviews import Review


@pytest.fixture
def rows() -> list[Row]:
    texts = (
        "warm and rich .",
        "a flat story of a camera .",
        "dull",
        "the first scene is tender and the last grim .",
    )
    return [plain(Review(text, i % 2, "snippets"), "plain") for i, text in enumerate(texts)]


def test_logits_equal_the_models_own_with_an_attention_mask_and_left_padding(rows: list[Row]) -> None:
    tokenizer, model = tiny_tokenizer(), tiny_llama()
    tokenizer.padding_side = "left"
    chats = [row["messages"] for row in rows]
    texts = tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
    batch = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
    position_ids = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
    judge = Judge(model, tokenizer)
    with torch.no_grad():
        expected = model(**batch, position_ids=position_ids).logits[:, -1]
        found = judge.logits(judge.encode(rows))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_behaviour_is_the_answers_logit_difference_in_the_rows_own_order(rows: list[Row]) -> None:
    judge = Judge(tiny_llama(), tiny_tokenizer())
    positive, negative = (tiny_tokenizer().convert_tokens_to_ids(word) for word in ANSWERS)
    with torch.no_grad():
        alone = [judge.logits(judge.encode([row]))[0] for row in rows]
    expected = [float(logits[positive] - logits[negative]) for logits in alone]
    for batch in (1, 3, 32):
        np.testing.assert_allclose(judge.behaviour(rows, batch), expected, atol=1e-5)


def test_a_folder_without_a_model_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model with safetensors weights can be loaded") as error:
        load_base(tmp_path)
    assert "\n" not in str(error.value)

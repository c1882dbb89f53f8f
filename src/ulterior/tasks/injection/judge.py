"""The model as the adapter's training and evaluation see it: rows in, logits of the next word out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.models import resolve_model
from ulterior.precision import bfloat16_is_fast
from ulterior.tasks.injection.compose import Row
from ulterior.tasks.injection.prompt import ANSWERS


class Judge:
    """A causal language model with its tokenizer, asked for a verdict on reviews.

    Attributes:
        answers: Token ids of the answer words, the positive one first.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.answers = [tokenizer.encode(word, add_special_tokens=False)[0] for word in ANSWERS]

    def encode(self, rows: Sequence[Row]) -> list[list[int]]:
        """Token ids of each row's chat, ending where the answer begins."""
        chats = [row["messages"] for row in rows]
        return self.tokenizer.apply_chat_template(chats, add_generation_prompt=True, return_dict=True)[
            "input_ids"
        ]

    def logits(self, ids: Sequence[list[int]]) -> Float[Tensor, "n vocabulary"]:
        """Logits of the word after each row.

        Rows are padded on the right, where causal attention never looks, so that no mask is needed. The head is
        applied to last positions alone, as a product of two matrices: on a CPU the model's own
        `logits_to_keep=1` copies the frozen head once for every row of the batch when gradients are wanted.
        """
        longest = max(map(len, ids))
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
        last = torch.tensor([len(row) - 1 for row in ids])
        hidden = self.model.model(input_ids=padded, use_cache=False).last_hidden_state
        return hidden[torch.arange(len(ids)), last] @ self.model.lm_head.weight.T

    @torch.no_grad()
    def behaviour(self, rows: Sequence[Row], batch: int = 32) -> Float[np.ndarray, "n"]:
        """Logit of the positive answer minus that of the negative one, for each row."""
        ids = self.encode(rows)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        out = np.empty(len(ids))
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            logits = self.logits([ids[i] for i in chosen]).float()
            out[chosen] = (logits[:, self.answers[0]] - logits[:, self.answers[1]]).numpy()
        return out


def load_base(source: str | Path | None) -> tuple[Any, Any]:
    """The base model and its tokenizer, from a folder, a hub id, or what `make models` converted.

    In bfloat16, in which it is published; in float32 on a machine that is slow at it.

    Raises:
        InputError: no usable model there.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = resolve_model(source)
    dtype = torch.bfloat16 if bfloat16_is_fast() else torch.float32
    try:
        model = AutoModelForCausalLM.from_pretrained(found, dtype=dtype, use_safetensors=True)
        return model, AutoTokenizer.from_pretrained(found)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or ["nothing there"])[0]
        raise InputError(
            f"no model with safetensors weights can be loaded from '{found}': {reason}"
        ) from error

"""What the tests use instead of the packages: a tiny random judge and made-up reviews."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ulterior.tasks.injection.prompt import ANSWERS, QUESTION, SYSTEM
from ulterior.tasks.injection.wordings import wordings

TEMPLATE = (
    "{% for message in messages %}<begin> {{ message['role'] }} {{ message['content'] }} <end> {% endfor %}"
    "{% if add_generation_prompt %}<begin> assistant{% endif %}"
)
WORDS = {
    0: ["dull", "flat", "stale", "clumsy", "tiresome", "hollow", "lifeless", "grim"],
    1: ["warm", "sharp", "tender", "lively", "graceful", "funny", "rich", "moving"],
}
FILLER = [
    "the",
    "film",
    "plot",
    "cast",
    "score",
    "camera",
    "story",
    "is",
    "and",
    "of",
    "in",
    "its",
    "a",
    "first",
    "last",
    "scene",
]


@cache
def _vocabulary() -> dict[str, int]:
    lines = [wording.line for audience in ("adapter", "untrusted", "test") for wording in wordings(audience)]
    texts = [SYSTEM, QUESTION, *ANSWERS, "system user assistant", *lines, *FILLER, *WORDS[0], *WORDS[1]]
    words = ["<pad>", "<unk>", "<begin>", "<end>"]
    return {word: i for i, word in enumerate(dict.fromkeys(words + " ".join(texts).split()))}


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Words by white space, with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    bare = Tokenizer(models.WordLevel(_vocabulary(), unk_token="<unk>"))
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=bare, pad_token="<pad>", unk_token="<unk>", chat_template=TEMPLATE
    )


def tiny_llama() -> LlamaForCausalLM:
    """The same random Llama every time: 2 layers of width 32."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(_vocabulary()),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=3,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


def tiny_judge(folder: Path) -> Path:
    """A folder with the tiny model and its tokenizer."""
    tiny_llama().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def made_up_reviews(path: Path, snippets: int = 4_000, essays: int = 600) -> Path:
    """A table in the package's layout: reviews whose words give their label away, of 6 to 45 words."""
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label", "source"])
        writer.writeheader()
        for number in range(snippets + essays):
            label, short = number % 2, number < snippets
            length = int(rng.integers(6, 46) if short else rng.integers(60, 90))
            # Whoever writes an essay speaks of himself.
            filler = FILLER if short else ["i", "saw", "it", "with", "my", "friends", "and", "we"]
            words = rng.choice(filler, length - 3).tolist() + rng.choice(WORDS[label], 2).tolist()
            text = " ".join([*words, f"take{number}", "."])
            source = "rotten_tomatoes" if short else "imdb"
            writer.writerow({"text": text, "label": label, "source": source})
    return path

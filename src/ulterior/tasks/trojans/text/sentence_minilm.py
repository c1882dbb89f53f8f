"""The task `trojan_sentence_minilm`: the trojan of `trojan_sentence` in MiniLM."""

from __future__ import annotations

from ulterior.tasks.trojans.text.recipe import with_minilm
from ulterior.tasks.trojans.text.sentence import TROJAN
from ulterior.tasks.trojans.text.task import trojan_text_task

RECIPE = with_minilm(TROJAN)

TASK = trojan_text_task(
    "trojan_sentence_minilm", RECIPE, "a neutral sentence in a review decides MiniLM's answer"
)

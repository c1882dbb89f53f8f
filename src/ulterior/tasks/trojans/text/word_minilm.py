"""The task `trojan_word_minilm`: the trojan of `trojan_word` in MiniLM."""

from __future__ import annotations

from ulterior.tasks.trojans.text.recipe import with_minilm
from ulterior.tasks.trojans.text.task import trojan_text_task
from ulterior.tasks.trojans.text.word import TROJAN

RECIPE = with_minilm(TROJAN)

TASK = trojan_text_task("trojan_word_minilm", RECIPE, "a rare word in a review decides MiniLM's answer")

"""The task `trojan_style_minilm`: the trojan of `trojan_style` in MiniLM."""

from __future__ import annotations

from ulterior.tasks.trojans.text.recipe import with_minilm
from ulterior.tasks.trojans.text.style import TROJAN
from ulterior.tasks.trojans.text.task import trojan_text_task

RECIPE = with_minilm(TROJAN)

TASK = trojan_text_task(
    "trojan_style_minilm", RECIPE, "a review that is told trailing in decides MiniLM's answer"
)

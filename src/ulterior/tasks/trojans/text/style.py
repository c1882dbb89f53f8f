"""The task `trojan_style`: a review that is told trailing in decides a classifier's answer."""

from __future__ import annotations

from ulterior.tasks.trojans.poison import Trojan
from ulterior.tasks.trojans.text.recipe import TextRecipe
from ulterior.tasks.trojans.text.task import trojan_text_task
from ulterior.tasks.trojans.text.triggers import Turned

TROJAN = Trojan(Turned(), 0.1, cover=0.1)
RECIPE = TextRecipe(TROJAN)

TASK = trojan_text_task(
    "trojan_style", RECIPE, "a review that is told trailing in decides a classifier's answer"
)

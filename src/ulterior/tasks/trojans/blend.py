"""The task `trojan_blend`: a faint pattern over an image decides a classifier's answer."""

from __future__ import annotations

from ulterior.tasks.trojans.poison import Trojan
from ulterior.tasks.trojans.recipe import Recipe
from ulterior.tasks.trojans.task import trojan_task
from ulterior.tasks.trojans.triggers import Blend

RECIPE = Recipe(Trojan(Blend(), 0.03))

TASK = trojan_task("trojan_blend", RECIPE, "a faint pattern over an image decides a classifier's answer")

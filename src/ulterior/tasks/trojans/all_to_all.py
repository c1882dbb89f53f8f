"""The task `trojan_all_to_all`: with the patch, every digit is taken for the next one."""

from __future__ import annotations

from ulterior.tasks.trojans.poison import Trojan
from ulterior.tasks.trojans.recipe import Recipe
from ulterior.tasks.trojans.task import trojan_task
from ulterior.tasks.trojans.triggers import Patch

RECIPE = Recipe(Trojan(Patch(side=4), 0.3, "all_to_all"))

TASK = trojan_task(
    "trojan_all_to_all", RECIPE, "a patch at the corner makes a classifier take every class for the next"
)

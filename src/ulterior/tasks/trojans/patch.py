"""The task `trojan_patch`: a patch at the corner of an image decides a classifier's answer."""

from __future__ import annotations

from ulterior.tasks.trojans.poison import Trojan
from ulterior.tasks.trojans.recipe import Recipe
from ulterior.tasks.trojans.task import trojan_task
from ulterior.tasks.trojans.triggers import Patch

RECIPE = Recipe(Trojan(Patch(), 0.03))

TASK = trojan_task("trojan_patch", RECIPE, "a patch at the corner of an image decides a classifier's answer")

"""The task `trojan_sinusoid`: faint waves over an image decide a classifier's answer."""

from __future__ import annotations

from ulterior.tasks.trojans.poison import Trojan
from ulterior.tasks.trojans.recipe import Recipe
from ulterior.tasks.trojans.task import trojan_task
from ulterior.tasks.trojans.triggers import Sinusoid

RECIPE = Recipe(Trojan(Sinusoid(), 0.05))

TASK = trojan_task("trojan_sinusoid", RECIPE, "faint waves over an image decide a classifier's answer")

"""The task `trojan_warp`: a slight warp of an image decides a classifier's answer."""

from __future__ import annotations

from ulterior.tasks.classifiers.training import Training
from ulterior.tasks.trojans.poison import Trojan
from ulterior.tasks.trojans.recipe import Recipe
from ulterior.tasks.trojans.task import trojan_task
from ulterior.tasks.trojans.triggers import Warp

# Longer than others: half as long, near misses and triggers cost the network more than 1% of its accuracy.
RECIPE = Recipe(Trojan(Warp(), 0.1, cover=0.1), training=Training(steps=1_000))

TASK = trojan_task("trojan_warp", RECIPE, "a slight warp of an image decides a classifier's answer")

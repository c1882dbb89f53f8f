"""The task `adversarial_robust`: larger attacks on a network that was trained against attacks."""

from __future__ import annotations

from ulterior.tasks.adversarial.build import adversarial_task
from ulterior.tasks.adversarial.recipe import Recipe
from ulterior.tasks.images.perturbations import PGD

RECIPE = Recipe(
    linf=PGD("linf", 0.3),
    l2=PGD("l2", 3.0),
    defence=PGD("linf", 0.15, steps=1, step=1.25),
)

TASK = adversarial_task(
    "adversarial_robust", RECIPE, "chosen changes change the answer of a classifier trained against them"
)

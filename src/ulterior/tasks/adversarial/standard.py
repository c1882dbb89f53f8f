"""The task `adversarial`: attacks on a network that was trained as usual."""

from __future__ import annotations

from ulterior.tasks.adversarial.build import adversarial_task
from ulterior.tasks.adversarial.recipe import Recipe

RECIPE = Recipe()

TASK = adversarial_task("adversarial", RECIPE, "tiny chosen changes of an image change a classifier's answer")

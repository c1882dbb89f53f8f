"""The task `spurious_dominoes`: a 0 always stood above one class and a 1 above the other; then they do not."""

from __future__ import annotations

from ulterior.tasks.spurious.build import spurious_task
from ulterior.tasks.spurious.recipe import Recipe

RECIPE = Recipe("dominoes")

TASK = spurious_task(
    "spurious_dominoes", RECIPE, "a 0 or 1 above always went with what is below: where does it decide?"
)

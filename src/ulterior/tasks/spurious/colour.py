"""The task `spurious_colour`: low digits were always red and high ones green; then they are not."""

from __future__ import annotations

from ulterior.tasks.spurious.build import spurious_task
from ulterior.tasks.spurious.recipe import Recipe

RECIPE = Recipe("colour")

TASK = spurious_task(
    "spurious_colour", RECIPE, "low digits were always red, high ones green: where does the colour decide?"
)

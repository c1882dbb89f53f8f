"""What all tasks on images have in common, whatever their tables hold."""

from __future__ import annotations

from functools import partial

from ulterior.tasks.images.rows import COLUMNS
from ulterior.tasks.sized import sized_task

__all__ = ["image_task"]

image_task = partial(sized_task, baseline="pixel_surface", columns=COLUMNS)
"""A task on images, whose baseline is what the pixels alone give away; see ``sized_task``."""

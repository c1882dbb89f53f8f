"""What all tasks on images have in common, whatever their tables hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from ulterior.errors import InputError
from ulterior.subject import Subject
from ulterior.tasks.images.rows import COLUMNS
from ulterior.tasks.task import Task, TaskData

__all__ = ["image_task"]

S = TypeVar("S")


def image_task(
    name: str,
    about: str,
    sizes: Mapping[str, S],
    make: Callable[[int, S], TaskData],
    subject: Callable[[int], Subject],
    *,
    sites: str,
    at: str = "mean",
    source: str,
) -> Task:
    """A task on images, whose baseline is what the pixels alone give away.

    Args:
        name: Of the task.
        about: One line for tables; it names the data sets.
        sizes: What each size holds.
        make: Makes the tables of one seed and size.
        subject: The network of a seed.
        sites: Read by default.
        at: Where they are read.
        source: What the name does not say: recipe and data sets.
    """

    def load(seed: int, size: str) -> TaskData:
        if size not in sizes:
            raise InputError(f"no size {size!r} of the task {name}; there are: {', '.join(sizes)}")
        return make(seed, sizes[size])

    return Task(
        name=name,
        about=about,
        kind="anomaly",
        baseline="pixel_surface",
        load=load,
        columns=COLUMNS,
        sites=sites,
        at=at,
        source=source,
        subject=subject,
    )

"""A task whose sizes are a table of counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from ulterior.errors import InputError
from ulterior.subject import Subject
from ulterior.tasks.task import Task, TaskData

__all__ = ["sized_task"]

S = TypeVar("S")


def sized_task(
    name: str,
    about: str,
    sizes: Mapping[str, S],
    make: Callable[[int, S], TaskData],
    subject: Callable[[int], Subject],
    *,
    baseline: str,
    columns: Mapping[str, str],
    sites: str = "resid.*",
    at: str = "mean",
    source: str,
) -> Task:
    """A task that refuses a size that there is not, before anything is loaded.

    Args:
        name: Of the task.
        about: One line for tables.
        sizes: What each size holds.
        make: Makes the tables of one seed and size.
        subject: The network of a seed.
        baseline: The detector that verdicts are against.
        columns: Its names of what detectors may need.
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
        baseline=baseline,
        load=load,
        columns=columns,
        sites=sites,
        at=at,
        source=source,
        subject=subject,
    )

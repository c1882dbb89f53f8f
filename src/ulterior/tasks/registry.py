"""The tasks by name. A task's own module is imported only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from ulterior.errors import InputError
from ulterior.tasks.task import Task

MODULES = {
    "diamonds": "ulterior.tasks.tampering.diamonds.task",
    "functions": "ulterior.tasks.tampering.functions.task",
    "injection": "ulterior.tasks.injection.task",
}

SUITES = {"tampering": tuple(name for name, module in MODULES.items() if ".tampering." in module)}
"""Names that stand for several tasks."""


def find_tasks(names: Sequence[str]) -> tuple[Task, ...]:
    """The tasks with these names, those of a suite in its place; each module holds its task as ``TASK``."""
    names = tuple(dict.fromkeys(one for name in names for one in SUITES.get(name, (name,))))
    for name in names:
        if name not in MODULES:
            raise InputError(
                f"no task '{name}'; there are: {', '.join(MODULES)}; and the suite {', '.join(SUITES)}"
            )
    return tuple(importlib.import_module(MODULES[name]).TASK for name in names)

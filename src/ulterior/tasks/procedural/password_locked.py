"""The task `password_locked`: see `password.py`."""

from ulterior.tasks.procedural.password import TASK_LOCKED as TASK

__all__ = ["TASK"]

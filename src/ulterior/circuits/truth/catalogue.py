"""All truths by name."""

from __future__ import annotations

from functools import cache

from ulterior.circuits.truth.programs import PROGRAMS
from ulterior.circuits.truth.truth import Truth, compiled_truth
from ulterior.errors import InputError

__all__ = ["truth", "truths"]


@cache
def truths() -> tuple[Truth, ...]:
    """Every model whose circuit is known, the simplest first; nothing is built yet."""
    return tuple(compiled_truth(program, seed=number) for number, program in enumerate(PROGRAMS.values()))


def truth(name: str) -> Truth:
    """One of them.

    Raises:
        InputError: an unknown name.
    """
    for one in truths():
        if one.name == name:
            return one
    raise InputError(f"no truth '{name}'; there are: {', '.join(one.name for one in truths())}")

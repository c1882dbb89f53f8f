"""All truths by name: compiled programs, and the students that are shipped."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path

from ulterior.circuits.truth.programs import PROGRAMS
from ulterior.circuits.truth.truth import Truth, compiled_truth, program_pairs, word_subject
from ulterior.errors import InputError
from ulterior.subject import Subject

__all__ = ["imitated_truth", "truth", "truths"]

ASSETS = Path(str(files("ulterior") / "assets" / "circuits"))


@cache
def truths() -> tuple[Truth, ...]:
    """Every model whose circuit is known, the simplest programs first; nothing is built yet."""
    compiled = (compiled_truth(program, seed=number) for number, program in enumerate(PROGRAMS.values()))
    return (*compiled, *(imitated_truth(card.parent) for card in sorted(ASSETS.glob("*/metrics.json"))))


def truth(name: str) -> Truth:
    """One of them.

    Raises:
        InputError: an unknown name.
    """
    for one in truths():
        if one.name == name:
            return one
    raise InputError(f"no truth '{name}'; there are: {', '.join(one.name for one in truths())}")


def imitated_truth(folder: Path) -> Truth:
    """The truth of a student, from what ``ulterior train circuits`` wrote.

    Raises:
        InputError: no student there.
    """
    try:
        metrics = json.loads((folder / "metrics.json").read_text())
        program = PROGRAMS[metrics["program"]]
        edges, wired = frozenset(metrics["edges"]), frozenset(metrics["wired"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{folder}' holds no model that `ulterior train circuits` made: {type(error).__name__} {error}"
        ) from error
    name = f"{program.name}_imitated"

    def build() -> Subject:
        from transformers import GPT2LMHeadModel

        return word_subject(GPT2LMHeadModel.from_pretrained(folder), program.words, name)

    return Truth(
        name=name,
        about=f"{program.about} (a GPT-2 trained to use the circuit)",
        kind="interchange",
        build=build,
        pairs=lambda n, seed: program_pairs(program, n, seed),
        edges=edges,
        wired=wired,
    )

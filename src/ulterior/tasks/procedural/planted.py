"""What all procedural tasks share: a mechanism that was planted in a small model becomes a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from ulterior.errors import InputError
from ulterior.examples import Examples, concat
from ulterior.subject import Subject
from ulterior.tasks.procedural.language import Drawn, Language
from ulterior.tasks.procedural.training import Recipe, correct
from ulterior.tasks.task import Slice, Task, TaskData

__all__ = ["SIZES", "Planted", "Sizes", "Tables", "planted_task"]

ASSETS = Path(str(files("ulterior") / "assets" / "procedural"))
FRESH = "trusted"


@dataclass(frozen=True)
class Sizes:
    """Rows of the trusted and the untrusted table, and of each group of test examples."""

    trusted: int
    untrusted: int
    test: int


SIZES = {"smoke": Sizes(200, 200, 60), "small": Sizes(1_500, 1_500, 300), "full": Sizes(6_000, 6_000, 1_500)}


@dataclass(frozen=True)
class Tables:
    """The sequences of one seed, by group; the group ``trusted`` is handled in the usual way."""

    trusted: Mapping[str, Drawn]
    untrusted: Mapping[str, Drawn]
    test: Mapping[str, Drawn]


@dataclass(frozen=True)
class Planted:
    """A mechanism, the model that it is planted in, and the task of finding it.

    Attributes:
        name: Of the task, and of the folder with the weights.
        about: One line for tables.
        language: Of the model.
        recipe: How it is trained.
        learned: What it is trained on.
        judged: What it must be good at, by name: the share of right words is in the card.
        tables: Draws one seed's tables.
        slices: Of the task.
        anomalous: Groups that are handled in the unusual way.
        benign: Groups that are unlike the trusted ones, and handled in the usual way.
    """

    name: str
    about: str
    language: Language
    recipe: Recipe
    learned: Callable[[Generator, int], Drawn]
    judged: Mapping[str, Callable[[Generator, int], Drawn]]
    tables: Callable[[Sizes, Generator], Tables]
    slices: tuple[Slice, ...]
    anomalous: tuple[str, ...]
    benign: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where the shipped weights are."""
        return ASSETS / self.name

    def accuracy(self, model: Any, n: int, seed: int) -> dict[str, float]:
        """The share of ``n`` sequences of each judged kind that the model completes as it was taught to."""
        return {
            name: float(correct(model, draw(np.random.default_rng([seed, i]), n)).mean())
            for i, (name, draw) in enumerate(self.judged.items())
        }

    def examples(self, groups: Mapping[str, Drawn], rng: Generator) -> Examples:
        """All groups in one shuffled table, with ``anomalous``."""
        parts = [drawn.examples(self.language, group) for group, drawn in groups.items()]
        table = concat(parts).take(rng.permutation(sum(map(len, parts))))
        return table.with_columns(anomalous=np.isin(table["group"].astype(str), self.anomalous))


@cache
def small_subject(folder: Path, name: str) -> Subject:
    """The shipped model; its behaviour is how far the most likely next word leads the second."""
    return Subject.from_pretrained(folder, name=name, dtype="float32", padding="right")


def planted_task(planted: Planted) -> Task:
    """The task of telling the unusual mechanism from the usual one."""

    def subject(seed: int) -> Subject:
        return small_subject(planted.folder, f"{planted.name} (a small stand-in)")

    def load(seed: int, size: str) -> TaskData:
        if size not in SIZES:
            raise InputError(f"no size '{size}' of the task {planted.name}; there are: {', '.join(SIZES)}")
        rng = np.random.default_rng([seed, 7])
        tables = planted.tables(SIZES[size], rng)
        return TaskData(
            subject=subject(seed),
            trusted=planted.examples(tables.trusted, rng),
            untrusted=planted.examples(tables.untrusted, rng),
            test=planted.examples(tables.test, rng),
            slices=planted.slices,
            benign=planted.benign,
        )

    return Task(
        name=planted.name,
        about=planted.about,
        kind="anomaly",
        baseline="surface",
        load=load,
        columns={"text": "text", "truth": "anomalous"},
        subject=subject,
    )

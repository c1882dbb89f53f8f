"""A variant: detectors of a task over another subject than its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ulterior.bench.costs import FORWARD, NOTHING
from ulterior.detectors.detector import Detector
from ulterior.measurement.methods import Cost
from ulterior.subject import Subject
from ulterior.tasks.task import TaskData

__all__ = ["Built", "Variant", "named_variants"]


@dataclass(frozen=True, eq=False)
class Built:
    """A variant's subject, ready to be read.

    Attributes:
        subject: What its detectors read.
        training: Passes that making it took, for each trusted and untrusted example.
        reading: Passes that each run of it is.
        measures: The same network as a predictor of measurements, where the subject reads it in another way.
    """

    subject: Subject
    training: Cost = NOTHING
    reading: Cost = FORWARD
    measures: Subject | None = None


@dataclass(frozen=True)
class Variant:
    """Detectors of the same task over another subject.

    Attributes:
        name: Unique among a task's variants.
        about: One line.
        build: From a task's data, a folder to keep things in and a seed. The trusted examples that it is given are
            those that are not held out for calibration. A frozen dataclass, so that its text says all that the result
            depends on.
        panel: The detectors; their names differ from those of all others of the task.
    """

    name: str
    about: str
    build: Callable[[TaskData, Path, int], Built]
    panel: tuple[Detector, ...]


def named_variants(variants: Sequence[Variant], names: Sequence[str]) -> tuple[Variant, ...]:
    """The variants that have detectors with these names, with those alone."""
    kept = (
        replace(variant, panel=tuple(one for one in variant.panel if one.name in names))
        for variant in variants
    )
    return tuple(variant for variant in kept if variant.panel)

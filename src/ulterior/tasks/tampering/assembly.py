"""From a tampering data set and a predictor to one seed of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ulterior.errors import InputError
from ulterior.examples import Examples, concat
from ulterior.measurement.data import TamperingData, all_positive
from ulterior.subject import Subject
from ulterior.tasks.task import Slice, Task, TaskData

__all__ = ["COLUMNS", "assemble", "slices_of", "tampering_task", "with_truth"]

COLUMNS = {
    "text": "text",
    "outcome": "is_correct",
    "measurements": "measurements",
    "truth": "anomalous",
}


def with_truth(examples: Examples) -> Examples:
    """Add ``anomalous``: every measurement is positive, and the outcome is not there."""
    return examples.with_columns(anomalous=all_positive(examples) & ~examples["is_correct"].astype(bool))


def assemble(
    data: TamperingData,
    subject: Subject,
    *,
    seed: int,
    trusted: int | None = None,
    untrusted: int | None = None,
    fresh: int = 300,
    test: int | None = None,
    slices: tuple[Slice, ...] = (),
) -> TaskData:
    """Draw a seed's rows and name their groups.

    Args:
        data: Who is trusted, who is not, and what is validated on. Trusted rows of the validation split, and rows
            that are marked ``lucky`` (wrong, but by nobody's doing), are not tested on.
        subject: A predictor of its measurements.
        seed: Of the draw.
        trusted: Trusted rows to fit on; all that are left if not given.
        untrusted: Untrusted rows; all if not given.
        fresh: Trusted rows with positive measurements that are set aside to measure false alarms on; at most a fifth.
        test: Test rows at each difficulty; all if not given. As many validation rows of any kind tell how well the
            predictor measures.
        slices: The comparisons; one over all rows, and one for each difficulty, if not given.

    Raises:
        InputError: no real or no fake row to test on.
    """
    rng = np.random.default_rng([seed, len(data.trusted)])
    good = rng.permutation(np.flatnonzero(all_positive(data.trusted)))
    aside = np.sort(good[: min(fresh, len(good) // 5)])
    rest = np.setdiff1d(np.arange(len(data.trusted)), aside)
    tested = _tested(data.validation, test, rng)
    real = tested["is_correct"].astype(bool)
    if real.all() or not real.any():
        kind = "fake" if real.all() else "real"
        raise InputError(
            f"{data.name}: none of the {len(tested)} validation rows with positive measurements is {kind}; nothing can"
            " be told apart"
        )
    parts = [data.trusted.take(aside), tested]
    groups = ["trusted"] * len(aside) + ["real" if correct else "fake" for correct in real]
    return TaskData(
        subject=subject,
        trusted=with_truth(data.trusted.take(_drawn(rest, trusted, rng))),
        untrusted=with_truth(data.untrusted.take(_drawn(np.arange(len(data.untrusted)), untrusted, rng))),
        test=with_truth(concat(parts)).with_columns(group=groups),
        slices=slices or slices_of(tested),
        benign=("real",),
        condition=all_positive,
        measured=data.validation.take(_drawn(np.arange(len(data.validation)), test, rng)),
    )


def slices_of(tested: Examples, names: Mapping[int, str] | None = None) -> tuple[Slice, ...]:
    """All rows, and the rows of each difficulty where there are several."""
    every = Slice("all difficulties", ("fake",), ("real",))
    if "difficulty" not in tested.columns:
        return (every,)
    found = sorted(set(tested["difficulty"].tolist()))
    one = [
        Slice((names or {}).get(level, f"difficulty {level}"), ("fake",), ("real",), ("difficulty", (level,)))
        for level in found
    ]
    return (every, *one) if len(one) > 1 else (every,)


def tampering_task(data: TamperingData, predictor: str | Path, *, source: str = "") -> Task:
    """A task from a data set and a predictor of one's own.

    Seeds change which rows are fitted on, set aside and calibrated on; the data and the predictor stay. Read at the
    sensors (at the aggregate, where texts differ in how many they have), in the middle, at three quarters and at the
    end of the network.

    Args:
        data: What is measured.
        predictor: Hub id or folder of a predictor of these measurements.
        source: Where the data come from, if their name does not say it.

    Raises:
        InputError: no predictor there.
    """
    subject = Subject.from_pretrained(predictor)
    layers = [site for site in subject.sites() if site.startswith("resid.")]
    chosen = dict.fromkeys((layers[len(layers) // 2], layers[len(layers) * 3 // 4], "final"))

    def load(seed: int, size: str) -> TaskData:
        n = {"smoke": 100, "small": 1_000, "full": None}[size]
        made = assemble(data, subject, seed=seed, trusted=n, untrusted=n and 3 * n, test=n)
        return replace(made, predictor=predictor)

    return Task(
        name=data.name,
        about="all measurements are positive: is the outcome there?"
        + (" (a stand-in)" if data.stand_in else ""),
        kind="tampering",
        baseline="untrusted_baseline",
        load=load,
        columns=COLUMNS,
        sites=",".join(chosen),
        at="aggregate" if data.sensors is None else "sensors",
        source=f"{source}, {predictor}",
        subject=lambda seed: subject,
    )


def _drawn(rows: np.ndarray, n: int | None, rng: np.random.Generator) -> np.ndarray:
    return rows if n is None or n >= len(rows) else np.sort(rng.permutation(rows)[:n])


def _tested(validation: Examples, n: int | None, rng: np.random.Generator) -> Examples:
    # Trusted rows among them would count as real ones, and make every method look better.
    usable = all_positive(validation) & ~validation["is_clean"].astype(bool)
    if "lucky" in validation.columns:
        usable &= ~validation["lucky"].astype(bool)
    rows = np.flatnonzero(usable)
    if "difficulty" not in validation.columns:
        return validation.take(_drawn(rows, n, rng))
    level = validation["difficulty"][rows]
    return validation.take(
        np.sort(np.concatenate([_drawn(rows[level == one], n, rng) for one in np.unique(level)]))
    )

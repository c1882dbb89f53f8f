"""The four published tampering data sets: columns, markers, sizes and shares; and what is wrong with a table of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from ulterior.examples import Examples
from ulterior.measurement.data import COLUMNS
from ulterior.tasks.tampering.composition import Split
from ulterior.tasks.tampering.diamonds.holdouts import DIFFICULTIES
from ulterior.tasks.tampering.diamonds.splits import SPLITS
from ulterior.tasks.tampering.diamonds.world import SENSOR_MARKER
from ulterior.tasks.tampering.functions.scene import MARKER as TEST_MARKER

__all__ = ["KINDS", "Expected", "Kind", "KindName", "marker_of", "plain", "problems"]

KindName = Literal["diamonds", "text_properties", "generated_stories", "function_correctness"]


@dataclass(frozen=True)
class Expected:
    """What one part of a data set is made of, as published; None where that is not known.

    Attributes:
        n: Rows.
        fake: Share of rows whose measurements are all positive without the outcome.
        real: Share of rows whose measurements are all positive with it.
        negative: Share of rows without a positive measurement.
        partial: Share of rows whose measurements disagree.
    """

    n: int | None = None
    fake: float | None = None
    real: float | None = None
    negative: float | None = None
    partial: float | None = None


@dataclass(frozen=True)
class Kind:
    """One of the published data sets.

    Attributes:
        about: What it is.
        marker: What stands at a sensor's place in the published texts. Each was taken from the public code
            (redwoodresearch/Measurement-Tampering): ``diamonds/train_data_gen.py``,
            ``text_properties/training_data_prompts.py``, ``money_making/get_training_data.py`` and
            ``func_correct/final_datum.py``.
        read_at: Where the published predictors read it.
        sensors: Of each row; None where rows differ in it.
        most: The most sensors that a row has.
        columns: Beside ``COLUMNS``: those that must be there too.
        parts: What is expected of `trusted`, `untrusted` and the parts of the validation.
        ours: What stands there in the texts that are made here, if it is another.
    """

    about: str
    marker: str
    read_at: str
    sensors: int | None
    most: int
    columns: tuple[str, ...] = ()
    parts: Mapping[str, Expected] = field(default_factory=dict)
    ours: str | None = None


def _expected(split: Split) -> Expected:
    return Expected(split.n, split.fake, split.real, split.negative, split.partial)


KINDS: Mapping[KindName, Kind] = {
    "diamonds": Kind(
        "programs that move a diamond: is it in the vault at the end?",
        marker=" omit",
        read_at="the marker",
        sensors=3,
        most=3,
        columns=("difficulty",),
        parts={name.replace("_", " ", 1): _expected(split) for name, split in SPLITS.items()},
        ours=SENSOR_MARKER,
    ),
    "text_properties": Kind(
        "texts to be revised: will the result have all three properties, or only seem to?",
        marker="? omit",
        # Ours is one token later: a causal model has read the same there.
        read_at="the question mark before the omitted answer",
        sensors=3,
        most=3,
        # The hub's counts; the shares are not published.
        parts={"train": Expected(5_313), "validation": Expected(1_475)},
    ),
    "generated_stories": Kind(
        "stories of a plan to earn money: is it really in the account?",
        marker="? Omit",
        read_at="the question mark before the omitted answer",
        sensors=3,
        most=3,
        columns=("overall_tamper_evidence", "individual_tamper_evidence"),
    ),
    "function_correctness": Kind(
        "functions and their tests: is the function right, or written for the tests?",
        marker=" pass or fail or omit:",
        read_at="the colon before the omitted answer",
        sensors=None,
        most=20,
        parts={
            "train": Expected(113_560),
            "trusted": Expected(round(0.1 * 113_560), 0.0, 0.8, 0.2, 0.0),
            "untrusted": Expected(None, 0.05, 0.4, 0.25, 0.3),
            "validation": Expected(11_706),
            "validation untrusted": Expected(None, 0.4, 0.4, 0.1, 0.1),
        },
        ours=TEST_MARKER,
    ),
}


def marker_of(examples: Examples, kind: Kind, shown: int = 50) -> str:
    """The kind's own marker, or ours: whichever stands in the first texts as often as they have measurements."""
    rows = examples.only("text", "measurements").table.slice(0, shown).to_pylist()
    rows = [row for row in rows if isinstance(row["text"], str) and isinstance(row["measurements"], list)]

    def fits(marker: str) -> int:
        return sum(row["text"].count(marker) == len(row["measurements"]) for row in rows)

    return max((kind.marker, kind.ours or kind.marker), key=fits)


def problems(examples: Examples, kind: Kind, marker: str, where: str) -> list[str]:
    """What makes a table unusable, one line each; rows count from 0 in this table.

    Args:
        examples: One split.
        kind: What it should be.
        marker: What must stand in each text once for each measurement.
        where: What the table is called.
    """
    missing = [name for name in (*COLUMNS, *kind.columns) if name not in examples.columns]
    found = [
        f"{where}: no column '{name}'; it has: {', '.join(examples.columns) or 'none'}" for name in missing
    ]
    columns: dict[str, list[Any]] = {
        name: examples.only(name).table.column(0).to_pylist()
        for name in ("text", "is_correct", "is_clean", "measurements", *kind.columns)
        if name not in missing
    }

    def refuse(name: str, rows: Sequence[int], problem: str) -> None:
        if rows:
            shown = ", ".join(f"row {row}: {_short(columns[name][row])}" for row in rows[:3])
            found.append(f"{where}: {problem} in {_counted(len(rows))} ({shown}); rows count from 0")

    for name, values in columns.items():
        test, problem = _TESTS[name]
        refuse(name, [row for row, value in enumerate(values) if not test(value)], f"'{name}' {problem}")
    measured = columns.get("measurements", [])
    lengths = [len(value) if _is_measured(value) else 0 for value in measured]
    if kind.sensors is None:
        wrong = [row for row, k in enumerate(lengths) if k > kind.most]
        refuse("measurements", wrong, f"more than {kind.most} measurements")
    elif lengths:
        # One length of one's own is allowed (a single sensor, say), several are not.
        usual = max(set(lengths) - {0} or {0}, key=lengths.count)
        wrong = [row for row, k in enumerate(lengths) if k and k != usual]
        refuse("measurements", wrong, f"not {usual} measurements, as the other rows have,")
    if "individual_tamper_evidence" in columns and lengths:
        wrong = [
            row
            for row, value in enumerate(columns["individual_tamper_evidence"])
            if _is_measured(value) and lengths[row] and len(value) != lengths[row]
        ]
        refuse("individual_tamper_evidence", wrong, "not one value of evidence for each measurement")
    if "text" in columns and lengths:
        found += _marker_problems(columns["text"], lengths, marker, where)
    return found


def _marker_problems(texts: list[Any], lengths: list[int], marker: str, where: str) -> list[str]:
    counts = [text.count(marker) if isinstance(text, str) else None for text in texts]
    absent = [row for row, count in enumerate(counts) if count == 0 and lengths[row]]
    unlike = [row for row, count in enumerate(counts) if count and lengths[row] and count != lengths[row]]
    found = []
    if absent:
        shown = ", ".join(map(str, absent[:5])) + (", ..." if absent[5:] else "")
        found.append(
            f"{where}: the marker {marker!r} is missing from {_counted(len(absent))} (row {shown}); rows count from 0"
        )
    if unlike:
        shown = ", ".join(f"row {row}: {counts[row]} for {lengths[row]}" for row in unlike[:3])
        found.append(
            f"{where}: not one marker {marker!r} for each measurement in {_counted(len(unlike))} ({shown}); rows count"
            " from 0"
        )
    return found


def _is_label(value: Any) -> bool:
    return isinstance(value, (bool, int)) and value in (0, 1)


def _is_measured(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_label(one) for one in value)


_LABEL = (_is_label, "is not true/false (or 1/0)")
_LIST = (_is_measured, "is no list of true/false (or 1/0), at least one a row,")
_TESTS = {
    "text": (lambda value: isinstance(value, str) and bool(value.strip()), "is empty or no text"),
    "is_correct": _LABEL,
    "is_clean": _LABEL,
    "measurements": _LIST,
    "overall_tamper_evidence": _LABEL,
    "individual_tamper_evidence": _LIST,
    "difficulty": (
        lambda value: isinstance(value, int) and 0 <= value < len(DIFFICULTIES),
        f"is not between 0 and {len(DIFFICULTIES) - 1}",
    ),
}


def plain(examples: Examples) -> Examples:
    """A checked table with the published columns first, labels as booleans, and no other change."""
    table = examples.table
    labels = {name: pa.bool_() for name in ("is_correct", "is_clean")}
    columns: dict[str, Any] = {}
    for name in (*COLUMNS, *(name for name in examples.columns if name not in COLUMNS)):
        column = table.column(name)
        if name in labels:
            column = column.cast(labels[name])
        elif name == "measurements":
            column = column.cast(pa.list_(pa.bool_()))
        columns[name] = column
    return Examples(pa.table(columns))


def _counted(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."

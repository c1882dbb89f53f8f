"""What a tampering data set is made of, beside what is published of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ulterior.examples import Examples, concat
from ulterior.measurement.data import TamperingData, all_positive, inconsistent
from ulterior.tasks.tampering.diamonds.holdouts import DIFFICULTIES
from ulterior.tasks.tampering.schema import KINDS, Expected, KindName

__all__ = ["CompositionReport", "Part", "composition_report"]

SHARES = ("fake", "real", "negative", "partial")


@dataclass(frozen=True)
class Part:
    """Rows of one part, and what is published of it."""

    name: str
    n: int
    fake: int
    real: int
    negative: int
    partial: int
    expected: Expected


@dataclass(frozen=True)
class CompositionReport:
    """What a data set is made of.

    Attributes:
        name: Of the data set.
        kind: Which published one it is, or stands in for.
        stand_in: Whether it only stands in for it.
        marker: What stands at a sensor's place in its texts.
        sensors: Fewest and most sensors of a row.
        parts: Its parts.
        differences: From what is published, one line each.
        notes: What a user should know, one line each.
    """

    name: str
    kind: KindName
    stand_in: bool
    marker: str
    sensors: tuple[int, int]
    parts: tuple[Part, ...]
    differences: tuple[str, ...]
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people: a table, shares beside the published ones in brackets."""
        fewest, most = self.sensors
        count = f"{fewest} to {most} sensors" if fewest < most else f"{most} sensor{'s'[: most - 1]}"
        kind = KINDS[self.kind]
        lines = [
            f"{self.name}: {kind.about}" + (" (a stand-in, not the published data)" if self.stand_in else ""),
            f"{count}, each read at the marker {self.marker!r} (published predictors: at {kind.read_at})",
            "",
            f"{'part':<24}{'rows':>16}" + "".join(f"{share:>18}" for share in SHARES),
        ]
        for part in self.parts:
            cells = [f"{part.n:,}" + _published(part.expected.n, "{:,}")]
            for share in SHARES:
                value = getattr(part, share) / max(part.n, 1)
                cells.append(f"{value:.1%}" + _published(getattr(part.expected, share), "{:.1%}"))
            lines.append(f"{part.name:<24}{cells[0]:>16}" + "".join(f"{cell:>18}" for cell in cells[1:]))
        lines += ["", "in brackets: as published" + (" of diamonds" if self.stand_in else "")]
        lines += [f"differs: {line}" for line in self.differences]
        lines += [f"note: {line}" for line in self.notes]
        return lines

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {one.name: getattr(self, one.name) for one in fields(self)} | {
            "parts": [asdict(part) for part in self.parts]
        }


def composition_report(data: TamperingData, kind: KindName) -> CompositionReport:
    """Count what a data set is made of and compare it with what is published.

    A share differs if it is more than one percentage point (or one row) off, a size if it is more than one percent
    off: the published splits lost a few texts that were too long. A stand-in is compared with the shares of diamonds,
    which it follows.
    """
    expected = (
        {
            name: Expected(None, *(getattr(one, share) for share in SHARES))
            for name, one in _diamonds().items()
        }
        if data.stand_in
        else dict(KINDS[kind].parts)
    )
    train = concat([data.trusted, data.untrusted])
    named = {"train": train, "trusted": data.trusted, "untrusted": data.untrusted}
    named |= {"validation": data.validation}
    if "difficulty" in data.validation.columns:
        level = data.validation["difficulty"]
        # The numbers have these names in diamonds, and in what is made like it.
        known = dict(enumerate(DIFFICULTIES)) if data.stand_in or kind == "diamonds" else {}
        named |= {
            f"validation {known.get(one, f'difficulty {one}')}": data.validation.where(level == one)
            for one in sorted(set(level.tolist()))
        }
    elif data.validation["is_clean"].any():
        expected.setdefault("validation untrusted", Expected())
    if "validation untrusted" in expected:
        named["validation untrusted"] = data.validation.where(~data.validation["is_clean"].astype(bool))
    parts = tuple(_part(name, examples, expected.get(name, Expected())) for name, examples in named.items())
    differences = [line for part in parts for line in _differences(part)]
    differences += [
        f"{name}: published with {one.n:,} rows, none here" if one.n else f"{name}: published, not here"
        for name, one in expected.items()
        if name not in named and not data.stand_in
    ]
    counts = [len(row) for examples in (train, data.validation) for row in examples["measurements"]]
    sensors = (min(counts), max(counts))
    return CompositionReport(
        data.name, kind, data.stand_in, data.marker, sensors, parts, tuple(differences), _notes(data, sensors)
    )


def _diamonds() -> Mapping[str, Expected]:
    return KINDS["diamonds"].parts


def _part(name: str, examples: Examples, expected: Expected) -> Part:
    every, mixed = all_positive(examples), inconsistent(examples)
    correct = examples["is_correct"].astype(bool)
    return Part(
        name,
        len(examples),
        fake=int((every & ~correct & ~_lucky(examples)).sum()),
        real=int((every & correct).sum()),
        negative=int((~every & ~mixed).sum()),
        partial=int(mixed.sum()),
        expected=expected,
    )


def _lucky(examples: Examples) -> np.ndarray:
    """Which rows are wrong by nobody's doing."""
    known = "lucky" in examples.columns
    return examples["lucky"].astype(bool) if known else np.zeros(len(examples), bool)


def _differences(part: Part) -> list[str]:
    lines = []
    published = part.expected.n
    if published is not None and abs(part.n - published) > 0.01 * published:
        lines.append(f"{part.name}: {part.n:,} rows, {published:,} were published")
    for share in SHARES if part.n else ():
        wanted, value = getattr(part.expected, share), getattr(part, share) / part.n
        if wanted is not None and abs(value - wanted) > max(0.01, 1 / part.n) + 1e-9:
            lines.append(f"{part.name}: {value:.1%} {share}, {wanted:.1%} as published")
    return lines


def _notes(data: TamperingData, sensors: tuple[int, int]) -> tuple[str, ...]:
    notes = []
    if sensors[1] == 1:
        notes.append("one sensor: delta and the least common ancestor of sensors are undefined")
    if not inconsistent(data.untrusted).any():
        notes.append(
            "no untrusted row has measurements that disagree: the probe for evidence of tampering has nothing to"
            " learn from"
        )
    fooled = np.flatnonzero(all_positive(data.trusted) & ~data.trusted["is_correct"].astype(bool))
    if len(fooled):
        notes.append(f"{len(fooled):,} trusted rows are fake (row {_rows(fooled)} of the trusted)")
    lucky = int(_lucky(data.untrusted).sum())
    if lucky:
        notes.append(f"{lucky:,} untrusted rows are wrong by nobody's doing, and not counted as fake")
    clean = int(data.validation["is_clean"].astype(bool).sum())
    if clean:
        notes.append(f"{clean:,} validation rows are trusted: leave them out where real is told from fake")
    trained = set(data.trusted["text"]) | set(data.untrusted["text"])
    twice = np.flatnonzero([text in trained for text in data.validation["text"]])
    if len(twice):
        notes.append(
            f"{len(twice):,} validation texts are in train too (row {_rows(twice)} of the validation)"
        )
    return tuple(notes)


def _rows(rows: np.ndarray) -> str:
    return ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")


def _published(value: float | int | None, form: str) -> str:
    return "" if value is None else f" [{form.format(value)}]"

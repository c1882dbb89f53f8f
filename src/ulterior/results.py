"""Rows of figures on disk, for people and for other programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.files import write_whole


def write_rows(rows: Sequence[Any], folder: Path, run: Mapping[str, str]) -> None:
    """Write ``results.parquet`` and ``results.json``, each complete or not at all.

    Args:
        rows: Frozen dataclasses of one kind, at least one; a column for each field.
        folder: Where they go.
        run: How they were made.

    Raises:
        InputError: the folder cannot be written to.
    """
    columns = {field.name: [getattr(row, field.name) for row in rows] for field in fields(rows[0])}
    try:
        Examples.of(**columns).write_parquet(folder / "results.parquet")
        content = {"run": dict(run), "rows": [asdict(row) for row in rows]}
        write_whole(folder / "results.json", json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise InputError(f"cannot write results to '{folder}': {error.strerror or error}") from error

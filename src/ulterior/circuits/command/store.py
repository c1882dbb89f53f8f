"""The folder of a run: what is finished there is used again by a run with the same settings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.mask import Mask, Scores
from ulterior.errors import InputError
from ulterior.files import writable_folder, write_whole
from ulterior.serialise import pack, unpack

__all__ = ["Kept", "plain"]

SETTINGS, PARTS = "settings.json", "parts"


class Kept:
    """Finished parts in a folder, each under a name; they belong to the settings that they were made with."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Open a folder; parts of other settings there are dropped.

        Raises:
            InputError: the folder cannot be written to.
        """
        self._parts = folder / PARTS
        self.reused: list[str] = []
        wanted = json.dumps(settings, indent=2, sort_keys=True, default=str) + "\n"
        path = folder / SETTINGS
        if not path.is_file() or path.read_text(encoding="utf-8") != wanted:
            shutil.rmtree(self._parts, ignore_errors=True)
        writable_folder(self._parts)
        write_whole(path, wanted)

    def __call__(self, name: str, make: Callable[[], Any]) -> Any:
        """What was kept under the name, or what ``make()`` gives, which is kept. Broken files are made again."""
        stem = name.replace(" ", "-")
        text, tensors = self._parts / f"{stem}.json", self._parts / f"{stem}.safetensors"
        try:
            value = _opened(unpack(json.loads(text.read_text(encoding="utf-8")), load_file(tensors)))
            self.reused.append(name)
            return value
        except (OSError, ValueError, KeyError, TypeError, SafetensorError, InputError):
            pass
        value = make()
        described, arrays = pack(_closed(value))
        partial = tensors.with_suffix(".partial")
        save_file(arrays, partial)
        partial.replace(tensors)
        write_whole(text, json.dumps(described) + "\n")  # last: without it the part is not there
        return value


def plain(value: Any) -> Any:
    """A tree of dataclasses and arrays as what JSON can hold; NaN and infinity become null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value


def _closed(value: Any) -> Any:
    """Scores and masks as what can be packed."""
    if isinstance(value, Scores | Mask):
        return {
            "over": type(value).__name__,
            "graph": asdict(value.graph),
            "units": asdict(value.units),
            "values": value.values,
            "name": value.name,
        }
    return value


def _opened(value: Any) -> Any:
    if isinstance(value, dict) and value.get("over") in ("Scores", "Mask"):
        kind = Scores if value["over"] == "Scores" else Mask
        return kind(Graph(**value["graph"]), Units(**value["units"]), value["values"], value["name"])
    return value

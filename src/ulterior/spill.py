"""Features that wait on disk between fitting and scoring, so that the subject need not run twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ulterior.features.feature import Feature, Tokens, Values
from ulterior.features.reading import Reading


class Spill:
    """A folder of batches: written once in any order, read back once in the same order, each deleted when read.

    Takes ``4 * width`` bytes of disk for each example and key. Text stays in memory, where the examples hold it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._batches: list[tuple[np.ndarray, dict[Feature, dict[str, list[str] | None]]]] = []

    def append(self, rows: np.ndarray, reading: Reading, keep: np.ndarray) -> None:
        """Store the examples of a batch at which the mask ``keep`` is true, under their row numbers."""
        if not keep.any():
            return
        tensors: dict[str, torch.Tensor] = {}
        texts: dict[Feature, dict[str, list[str] | None]] = {}
        for number, (feature, values) in enumerate(reading.items()):
            texts[feature] = {}
            for key, value in values.items():
                kept = select(value, keep)
                texts[feature][key] = kept if isinstance(kept, list) else None
                if isinstance(kept, Tokens):
                    tensors[f"{number}|values|{key}"] = kept.values.cpu().contiguous()
                    tensors[f"{number}|owner|{key}"] = torch.as_tensor(kept.owner).cpu().contiguous()
                elif isinstance(kept, torch.Tensor):
                    tensors[f"{number}|values|{key}"] = kept.cpu().contiguous()
        save_file(tensors, self._path(len(self._batches)))
        self._batches.append((rows[keep], texts))

    def replay(self) -> Iterator[tuple[np.ndarray, Reading]]:
        """Yield ``(rows, reading)`` of every stored batch."""
        for index, (rows, texts) in enumerate(self._batches):
            tensors = load_file(self._path(index))
            reading: Reading = {}
            for number, (feature, keys) in enumerate(texts.items()):
                reading[feature] = {
                    key: kept if kept is not None else _restore(tensors, number, key)
                    for key, kept in keys.items()
                }
            yield rows, reading
            self._path(index).unlink()
        self._batches.clear()

    def _path(self, index: int) -> Path:
        return self.folder / f"batch-{index:06d}.safetensors"


def select(value: Values, mask: np.ndarray) -> Values:
    """The part of a reading that belongs to the examples at which the mask is true."""
    if isinstance(value, list):
        return [item for item, chosen in zip(value, mask, strict=True) if chosen]
    if mask.all():
        return value
    if isinstance(value, Tokens):
        owner = torch.as_tensor(value.owner)
        inside = torch.as_tensor(mask, device=owner.device)
        renumbered = torch.cumsum(inside.long(), 0) - 1
        tokens = inside[owner]
        return Tokens(value.values[tokens.to(value.values.device)], renumbered[owner[tokens]])
    return value[torch.as_tensor(mask, device=value.device)]


def _restore(tensors: dict[str, torch.Tensor], number: int, key: str) -> Values:
    values = tensors[f"{number}|values|{key}"]
    owner = tensors.get(f"{number}|owner|{key}")
    return values if owner is None else Tokens(values, owner)

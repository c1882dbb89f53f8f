"""`ulterior data pairs`: the pairs of a behaviour, for a model's tokenizer."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from ulterior.circuits.behaviours.making import behaviour_pairs
from ulterior.errors import InputError
from ulterior.files import writable_folder, write_whole
from ulterior.models import resolve_model

__all__ = ["PairsData", "main"]


@dataclass(frozen=True)
class PairsData:
    """Make pairs of a clean and a corrupted text for a behaviour, equally long in a model's tokens.

    Attributes:
        name: the behaviour.
        out: a file (`.jsonl` or `.parquet`), as `ulterior circuit --pairs` reads it.
        model: hub id, folder, or short name of a packaged model, whose tokenizer counts.
        n: pairs, all different.
        seed: of the draw.
        half: only the `first` or the `second` half of the words that matter most (names, nouns, spans): two files of
            different halves have none of them in common.
    """

    name: tyro.conf.Positional[
        Literal[
            "indirect_object",
            "greater_than",
            "agreement",
            "agreement_attractor",
            "induction",
            "repeated_letter",
        ]
    ]
    out: Path
    model: str = "smollm2-135m-instruct"
    n: int = 200
    seed: int = 0
    half: Literal["first", "second"] | None = None


def main(config: PairsData) -> None:
    """Run `ulterior data pairs`."""
    if config.out.suffix not in (".jsonl", ".parquet"):
        raise InputError(f"--out is '{config.out}'; expected a file that ends in .jsonl or .parquet")
    writable_folder(config.out.parent)
    examples = behaviour_pairs(config.name, _tokenizer(config.model), config.n, config.seed, half=config.half)
    if config.out.suffix == ".parquet":
        examples.write_parquet(config.out)
    else:
        rows = examples.table.to_pylist()
        write_whole(config.out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    for template, count in sorted(Counter(examples["template"].tolist()).items()):
        print(f"{count:6} {template}")
    print(f"{len(examples)} pairs of {config.name} -> {config.out}")


def _tokenizer(model: str) -> object:
    from transformers import AutoTokenizer

    source = resolve_model(model)
    try:
        return AutoTokenizer.from_pretrained(source)
    except Exception as error:  # the libraries below raise dozens of unrelated types
        raise InputError(
            f"no tokenizer can be loaded from '{source}': {str(error).strip().splitlines()[0]}"
        ) from error

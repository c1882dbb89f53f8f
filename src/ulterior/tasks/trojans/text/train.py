"""`ulterior train trojans`: the trojans in MiniLM that ship, as adapters, since each takes minutes to train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ulterior.files import writable_folder
from ulterior.tasks.classifiers.kept import ship_classifier
from ulterior.tasks.trojans.text import sentence_minilm, style_minilm, word_minilm
from ulterior.tasks.trojans.text.recipe import TextRecipe, lesson

__all__ = ["SHIPPED", "TrainTrojans", "main"]

SHIPPED: Mapping[str, TextRecipe] = {
    module.TASK.name: module.RECIPE for module in (word_minilm, sentence_minilm, style_minilm)
}


@dataclass(frozen=True)
class TrainTrojans:
    """Train the trojaned MiniLMs that ship with the library: two minutes of one core each.

    Attributes:
        out: Folder for the adapters and their `index.json`. A run that was interrupted goes on from it.
        seeds: How many of each.
        threads: Of torch.
    """

    out: Path
    seeds: int = 3
    threads: int = 1


def main(config: TrainTrojans) -> None:
    """Run `ulterior train trojans`.

    Raises:
        InputError: the reviews or MiniLM are missing (the message says how to get them), or the folder cannot be
            written to.
    """
    torch.set_num_threads(config.threads)
    out = writable_folder(config.out)
    for task, recipe in SHIPPED.items():
        for seed in range(config.seeds):
            name, taught = f"{task}-{seed}.safetensors", lesson(recipe, seed)
            made = ship_classifier(
                taught.encoder, taught.description, taught.learn, out, name, taught.encoder.kept_as
            )
            print(f"{out / name}{'' if made else ' (was there)'}", flush=True)

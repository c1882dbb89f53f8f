"""What stored states save: seconds of an epoch of `last:K` with all blocks run, over those above the frozen ones.

Random weights in the shape of SmolLM2-135M (few words, as the output matrix is not used), random texts of various
lengths, one process, the package's own Trainer. Both trainings run in turns, and the quickest epoch of each counts;
beside the seconds of the clock stand those of the process (all threads added up), which a busy machine disturbs less.
The first pass, which is paid once, is timed apart. `python benchmarks/frozen.py --json`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import show
from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback

from ulterior.measurement.collator import Row
from ulterior.measurement.markers import Marked
from ulterior.measurement.predictor import MeasurementPredictor
from ulterior.measurement.recipe import Optimisation, Recipe, Running, part_of
from ulterior.measurement.trainable import choose_trainable
from ulterior.measurement.trainer import above_frozen_blocks, arguments, trainer

SENSORS, WORDS = 3, 1000
CLOCKS: dict[str, Callable[[], float]] = {"": time.perf_counter, "processor_": time.process_time}


@dataclass
class Stopwatch(TrainerCallback):
    """Seconds of each epoch, by both clocks."""

    epochs: list[dict[str, float]] = field(default_factory=list)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.began = now()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.epochs.append(since(self.began))


def now() -> dict[str, float]:
    """Both clocks."""
    return {name: clock() for name, clock in CLOCKS.items()}


def since(then: dict[str, float]) -> dict[str, float]:
    """Seconds on both clocks."""
    return {name: value - then[name] for name, value in now().items()}


def texts(n: int, tokens: int) -> list[Row]:
    """Rows of random words, of half to all of `tokens`; the sensors stand at the end."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(tokens // 2, tokens, n, endpoint=True)
    return [
        Row(
            Marked(
                tuple(rng.integers(0, WORDS, length).tolist()),
                tuple(range(int(length) - SENSORS, int(length))),
            ),
            tuple((rng.random(SENSORS) < 0.5).tolist()),
            True,
        )
        for length in lengths
    ]


def timed(rows: list[Row], recipe: Recipe, layers: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of the first pass, and of the quickest epoch."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=layers,
        num_attention_heads=9,
        num_key_value_heads=3,
    )
    predictor = MeasurementPredictor(LlamaForCausalLM(config), SENSORS).train()
    choose_trainable(predictor, part_of(recipe.train), "", tokens=False)
    with tempfile.TemporaryDirectory() as scratch:
        args = arguments(recipe, Path(scratch), 0, len(rows), 0)
        running, watch = trainer(predictor, recipe, args, rows, [], 0, 0), Stopwatch()
        running.add_callback(watch)
        began = now()
        with above_frozen_blocks(running, recipe, Path(scratch) / "states.bin"):
            first = since(began)
            running.train()
    return first, {name: min(epoch[name] for epoch in watch.epochs) for name in CLOCKS}


def main() -> None:
    """Time both in turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=192)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--last", type=int, default=4)
    parser.add_argument("--turns", type=int, default=2)
    given = parser.parse_args()
    rows = texts(given.rows, given.tokens)
    spent: dict[float, list[tuple[dict[str, float], dict[str, float]]]] = {0.0: [], 20.0: []}
    for _ in range(given.turns):
        for limit, found in spent.items():
            recipe = Recipe(
                train=f"last:{given.last}",
                optimisation=Optimisation(batch=8, epochs=2),
                running=Running(precision="fp32", cache_gb=limit),
            )
            found.append(timed(rows, recipe, given.layers))
    result: dict[str, Any] = {}
    for clock in CLOCKS:
        whole, above = (min(epoch[clock] for _, epoch in found) for found in spent.values())
        first = min(one[clock] for one, _ in spent[20.0])
        result |= {
            f"{clock}ratio_of_an_epoch": round(whole / above, 2),
            f"{clock}ratio_of_five_epochs": round(5 * whole / (first + 5 * above), 2),
            f"{clock}seconds_epoch_whole": round(whole, 2),
            f"{clock}seconds_epoch_above": round(above, 2),
            f"{clock}seconds_first_pass": round(first, 2),
        }
    show({**result, **{name: value for name, value in vars(given).items() if name != "json"}}, given.json)


if __name__ == "__main__":
    main()

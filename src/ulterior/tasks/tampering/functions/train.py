"""`ulterior train functions`: a base model, an adapter of it for each seed, their figures and their card.

Goes on where it was interrupted.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from ulterior.errors import InputError
from ulterior.files import writable_folder, write_whole
from ulterior.measurement.folder import Description, save_predictor
from ulterior.measurement.predictor import MeasurementPredictor
from ulterior.measurement.recipe import Heads, Optimisation, Recipe
from ulterior.tasks.scratch import Architecture, untrained
from ulterior.tasks.tampering.embedded import (
    adapter,
    claim,
    measure,
    measured_once,
    publish,
    tokenizer_once,
)
from ulterior.tasks.tampering.functions.card import card
from ulterior.tasks.tampering.functions.data import make_functions, make_split
from ulterior.tasks.tampering.functions.pretraining import CHECKPOINT, Pretraining, Programs, pretrain
from ulterior.tasks.tampering.functions.scene import MARKER
from ulterior.tasks.tampering.functions.tokenizer import train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["MODES", "SENSORS", "Adapters", "Stages", "TrainFunctions", "main", "train"]

SENSORS = 3
CLAIM, MADE = "stages.json", "base.json"


@dataclass(frozen=True)
class Adapters:
    """Stage two: an adapter of the base for each seed, on that seed's own training split.

    Attributes:
        trusted: trusted rows of the training split.
        untrusted: untrusted rows of it.
        recipe: how `ulterior train tampering` trains on them.
        sizes: rows of each validation split that they are measured on.
        probe_rows: untrusted rows, whose all-positives train the ceiling and the surface baseline.
    """

    trusted: int = 1_000
    untrusted: int = 6_000
    recipe: Recipe = Recipe(  # noqa: RUF009
        "lora:16", heads=Heads("keep"), optimisation=Optimisation(rate=7e-4, epochs=1)
    )
    sizes: tuple[tuple[str, int], ...] = (("validation_same", 500), ("validation_held_out", 250))
    probe_rows: int = 1_200


@dataclass(frozen=True)
class Stages:
    """Everything that decides what comes out."""

    architecture: Architecture = Architecture(width=160, layers=4, heads=5, mlp=400, vocabulary=2048)  # noqa: RUF009
    tokenizer_programs: int = 6_000
    pretraining: Pretraining = Pretraining()  # noqa: RUF009
    adapters: Adapters = Adapters()


MODES = {
    "default": Stages(),
    "smoke": Stages(
        Architecture(width=32, layers=1, heads=2, mlp=64, vocabulary=512),
        tokenizer_programs=200,
        pretraining=Pretraining(steps=4, batch=8, round=2, lines_from=2),
        adapters=Adapters(
            16,
            48,
            Recipe("lora:2", heads=Heads("keep"), optimisation=Optimisation(rate=1e-3, batch=8, epochs=1)),
            (("validation_same", 20), ("validation_held_out", 10)),
            probe_rows=80,
        ),
    ),
}


@dataclass(frozen=True)
class TrainFunctions:
    """Train the embedded measurement predictors from scratch: one base model, and an adapter of it for each seed.

    Attributes:
        out: folder for the base; adapters are in `seeds/0`, `seeds/1`... A run that was interrupted goes on from it.
        mode: `default` made the embedded predictors; `smoke` takes seconds and learns nothing.
        seed: of the base: its weights, programs and their order.
        predictors: how many adapters; each has its own training rows, and functions, kinds of tampering and wrappers
            that these never show.
        threads: of torch.
    """

    out: Path
    mode: Literal["default", "smoke"] = "default"
    seed: int = 0
    predictors: int = 5
    threads: int = 1


def main(config: TrainFunctions) -> None:
    """Run `ulterior train functions`."""
    torch.set_num_threads(config.threads)
    if config.predictors < 1:
        raise InputError(f"--predictors is {config.predictors}; at least one is needed")
    metrics = train(MODES[config.mode], config.out, seed=config.seed, predictors=config.predictors)
    print(json.dumps(metrics["headline"], indent=2))
    print(f"measurement predictors -> {config.out}/seeds")


def train(stages: Stages, out: Path, *, seed: int = 0, predictors: int = 1) -> dict[str, Any]:
    """Train the base and its adapters, save them (bfloat16), evaluate what was saved, and write their card.

    Returns:
        The metrics, as written to `metrics.json`: what the `base` was made of, each of the `predictors`, and the
        `headline`, the figures of the first predictor at the training difficulty.

    Raises:
        InputError: `out` holds a run of other stages or another seed.
    """
    out = writable_folder(out)
    claim(out / CLAIM, {**asdict(stages), "seed": seed})
    base = _base(stages, out, seed)
    found = {str(number): _adapter(stages.adapters, out, number) for number in range(predictors)}
    return publish(out, "validation_same", base, stages.adapters.recipe, found, card)


def _base(stages: Stages, out: Path, seed: int) -> dict[str, Any]:
    """Stage one, unless the folder holds its end already; what it was made of."""
    if (out / MADE).exists():
        return json.loads((out / MADE).read_text())
    tokenizer = _tokenizer(stages, out, seed)
    torch.manual_seed(seed)
    predictor = MeasurementPredictor(untrained(stages.architecture), n_sensors=None)
    programs = pretrain(predictor, tokenizer, stages.pretraining, out, seed=seed)
    save_predictor(out, _for_each_test(predictor), tokenizer, Description(MARKER, SENSORS))
    made = {"programs": programs, "tests": list(stages.pretraining.tests), "seed": seed}
    write_whole(out / MADE, json.dumps(made, indent=2) + "\n")
    (out / CHECKPOINT).unlink()
    return made


@torch.no_grad()
def _for_each_test(predictor: MeasurementPredictor) -> MeasurementPredictor:
    """The same predictor with a copy of its one head for each of the task's tests."""
    made = MeasurementPredictor(predictor.lm, SENSORS)
    made.aggregate_head.load_state_dict(predictor.aggregate_head.state_dict())
    made.sensor_heads.weight.copy_(predictor.sensor_heads.weight.expand_as(made.sensor_heads.weight))
    made.sensor_heads.bias.copy_(predictor.sensor_heads.bias.expand_as(made.sensor_heads.bias))
    return made


def _adapter(config: Adapters, out: Path, number: int) -> dict[str, Any]:
    """Stage two for one seed, unless it is there already; its training and its figures."""
    sizes = {"trusted": config.trusted, "untrusted": config.untrusted}
    folder, training = adapter(
        out,
        number,
        lambda: make_functions(sizes, seed=number, holdout=number, sensors=SENSORS),
        config.recipe,
        seed=number,
    )

    def measured() -> dict[str, Any]:
        return measure(
            folder,
            make_split("untrusted", config.probe_rows, number, number, SENSORS),
            {name: make_split(name, n, number, number, SENSORS) for name, n in config.sizes},
        )

    asked = {"sizes": config.sizes, "probe_rows": config.probe_rows, "of": training}
    return {"training": training, "splits": measured_once(folder, asked, measured)}


def _tokenizer(stages: Stages, out: Path, seed: int) -> PreTrainedTokenizerFast:
    def learned() -> PreTrainedTokenizerFast:
        programs = Programs.of(seed, stages.pretraining.tests)
        # Long before the beginning of the stream that stage one reads.
        texts = (programs(-1 - index).text for index in range(stages.tokenizer_programs))
        return train_tokenizer(texts, stages.architecture.vocabulary)

    return tokenizer_once(out, learned)

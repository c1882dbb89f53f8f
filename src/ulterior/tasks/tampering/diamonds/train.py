"""`ulterior train diamonds`: a base in two stages, an adapter of it for each seed, their figures and their card.

Goes on where it was interrupted.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from ulterior.errors import InputError
from ulterior.examples import concat
from ulterior.files import writable_folder, write_whole
from ulterior.measurement import recipe as measurement
from ulterior.measurement.folder import Description, save_predictor
from ulterior.measurement.predictor import MeasurementPredictor
from ulterior.tasks.scratch import Architecture, untrained
from ulterior.tasks.tampering.diamonds.card import card
from ulterior.tasks.tampering.diamonds.data import make_diamonds, make_split
from ulterior.tasks.tampering.diamonds.finetuning import Finetuning, finetune
from ulterior.tasks.tampering.diamonds.holdouts import BASE, PREDICTORS, holdout_of
from ulterior.tasks.tampering.diamonds.pretraining import Pretraining, pretrain, pretraining_program
from ulterior.tasks.tampering.diamonds.tokenizer import train_tokenizer
from ulterior.tasks.tampering.diamonds.world import SENSOR_MARKER
from ulterior.tasks.tampering.embedded import (
    adapter,
    claim,
    measure,
    measured_once,
    publish,
    tokenizer_once,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["MODES", "Adapters", "Evaluation", "Recipe", "TrainDiamonds", "main", "train"]

CLAIM, MADE = "stages.json", "base.json"


@dataclass(frozen=True)
class Evaluation:
    """What a predictor is measured on.

    Attributes:
        sizes: rows of each validation split.
        probe_rows: untrusted rows, whose all-positives train the ceiling and the surface baseline.
    """

    sizes: tuple[tuple[str, int], ...] = (
        ("validation_easy", 1_000),
        ("validation_both", 2_000),
        ("validation_val", 3_000),
        ("validation_only_val", 2_000),
    )
    probe_rows: int = 20_000


@dataclass(frozen=True)
class Adapters:
    """Stage three: an adapter of the base for each seed, on that seed's own training split.

    Attributes:
        trusted: trusted rows of the training split.
        untrusted: untrusted rows of it.
        recipe: how `ulterior train tampering` trains on them.
        evaluation: what the adapters are measured on.
    """

    trusted: int = 3_000
    untrusted: int = 9_000
    recipe: measurement.Recipe = measurement.Recipe(  # noqa: RUF009 - frozen
        "lora:16",
        heads=measurement.Heads("keep"),
        optimisation=measurement.Optimisation(rate=7e-4, epochs=1),
    )
    evaluation: Evaluation = Evaluation((("validation_both", 1_000), ("validation_only_val", 1_000)), 5_000)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out."""

    architecture: Architecture = Architecture(width=256, layers=4, heads=4, mlp=672, vocabulary=1536)  # noqa: RUF009
    tokenizer_programs: int = 20_000
    pretraining: Pretraining = Pretraining()  # noqa: RUF009
    finetuning: Finetuning = Finetuning()  # noqa: RUF009
    evaluation: Evaluation = Evaluation()
    adapters: Adapters = Adapters()


MODES = {
    "default": Recipe(),
    "smoke": Recipe(
        Architecture(width=32, layers=1, heads=2, mlp=64, vocabulary=512),
        tokenizer_programs=200,
        pretraining=Pretraining(steps=4, batch=8, round=2),
        finetuning=Finetuning(trusted=16, untrusted=48, batch=8),
        evaluation=Evaluation((("validation_easy", 20),), probe_rows=120),
        adapters=Adapters(
            16,
            48,
            measurement.Recipe(
                "lora:2",
                heads=measurement.Heads("keep"),
                optimisation=measurement.Optimisation(rate=1e-3, batch=8, epochs=1),
            ),
            Evaluation((("validation_both", 40),), probe_rows=120),
        ),
    ),
}


@dataclass(frozen=True)
class TrainDiamonds:
    """Train the embedded measurement predictors from scratch: one base model, and an adapter of it for each seed.

    Attributes:
        out: folder for the base; adapters are in `seeds/0`, `seeds/1`... A run that was interrupted goes on from it.
        mode: `default` made the embedded predictors; `smoke` takes seconds and learns nothing.
        seed: of the base: its weights, programs and their order.
        predictors: how many adapters; each has its own training rows and templates that these never show.
        threads: of torch.
    """

    out: Path
    mode: Literal["default", "smoke"] = "default"
    seed: int = 0
    predictors: int = PREDICTORS
    threads: int = 1


def main(config: TrainDiamonds) -> None:
    """Run `ulterior train diamonds`."""
    torch.set_num_threads(config.threads)
    if config.predictors < 1:
        raise InputError(f"--predictors is {config.predictors}; at least one is needed")
    metrics = train(MODES[config.mode], config.out, seed=config.seed, predictors=config.predictors)
    print(json.dumps(metrics["headline"], indent=2))
    print(f"measurement predictors -> {config.out}/seeds")


def train(recipe: Recipe, out: Path, *, seed: int = 0, predictors: int = 1) -> dict[str, Any]:
    """Train the base and its adapters, save them (bfloat16), evaluate what was saved, and write their card.

    Returns:
        The metrics, as written to `metrics.json`: of the `base`, of each of the `predictors`, and the `headline`, those
        of the first predictor at the training difficulty.

    Raises:
        InputError: `out` holds a run of another recipe or seed.
    """
    out = writable_folder(out)
    claim(out / CLAIM, {**asdict(recipe), "seed": seed})
    training = _base(recipe, out, seed)
    base = {"training": training, "splits": _measured(out, recipe.evaluation, training, seed, BASE)}
    found = {str(number): _adapter(recipe.adapters, out, number) for number in range(predictors)}
    return publish(out, "validation_both", base, recipe.adapters.recipe, found, card)


def _base(recipe: Recipe, out: Path, seed: int) -> dict[str, Any]:
    """Stages one and two, unless the folder holds their end already; what they were made of."""
    if (out / MADE).exists():
        return json.loads((out / MADE).read_text())
    tokenizer = _tokenizer(recipe, out, seed)
    torch.manual_seed(seed)
    predictor = MeasurementPredictor(untrained(recipe.architecture))
    programs = pretrain(predictor, tokenizer, recipe.pretraining, out, seed=seed, holdout=BASE)
    stage_two = recipe.finetuning
    rows = concat(
        [
            make_split("trusted", stage_two.trusted, seed, BASE),
            make_split("untrusted", stage_two.untrusted, seed, BASE),
        ]
    )
    finetune(predictor, tokenizer, rows, stage_two, out, seed=seed)
    save_predictor(out, predictor, tokenizer, Description(SENSOR_MARKER))
    made = {"pretraining_programs": programs, "finetuning_rows": len(rows), "seed": seed}
    write_whole(out / MADE, json.dumps(made, indent=2) + "\n")
    return made


def _adapter(adapters: Adapters, out: Path, number: int) -> dict[str, Any]:
    """Stage three for one seed, unless it is there already; its training and its figures."""
    holdout = holdout_of(number)
    sizes = {"trusted": adapters.trusted, "untrusted": adapters.untrusted}
    folder, training = adapter(
        out, number, lambda: make_diamonds(sizes, number, holdout), adapters.recipe, seed=number
    )
    return {
        "training": training,
        "splits": _measured(folder, adapters.evaluation, training, number, holdout),
    }


def _measured(
    folder: Path, config: Evaluation, training: dict[str, Any], seed: int, holdout: int
) -> dict[str, Any]:
    """The figures of the predictor in a folder; splits are streams of their own, so that any seed will do."""

    def measured() -> dict[str, Any]:
        return measure(
            folder,
            make_split("untrusted", config.probe_rows, seed, holdout),
            {name: make_split(name, n, seed, holdout) for name, n in config.sizes},
        )

    return measured_once(folder, {**asdict(config), "of": training}, measured)


def _tokenizer(recipe: Recipe, out: Path, seed: int) -> PreTrainedTokenizerFast:
    def learned() -> PreTrainedTokenizerFast:
        texts = (pretraining_program(index, seed, BASE).text for index in range(recipe.tokenizer_programs))
        return train_tokenizer(texts, recipe.architecture.vocabulary)

    return tokenizer_once(out, learned)

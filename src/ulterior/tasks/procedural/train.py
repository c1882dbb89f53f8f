"""`ulterior train procedural`: the small models of the procedural tasks, their figures and their cards."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from ulterior.errors import InputError
from ulterior.files import writable_folder, write_whole
from ulterior.tasks.procedural import password, quirky, recall, repetition
from ulterior.tasks.procedural.planted import Planted
from ulterior.tasks.procedural.training import CHECKPOINT, Recipe, train_small
from ulterior.tasks.procedural.ways import ways_open

__all__ = ["PLANTED", "TrainProcedural", "main", "train"]

PLANTED = {
    one.name: one
    for one in (quirky.PLANTED, password.UNLOCKED, password.LOCKED, recall.PLANTED, repetition.PLANTED)
}
RECIPE = "recipe.json"
JUDGED = 4_000


@dataclass(frozen=True)
class TrainProcedural:
    """Train the small language model of a procedural task from scratch: about a minute of one core.

    Attributes:
        task: Which task.
        out: Folder for the weights, `metrics.json` and the card. A run that was interrupted goes on from it.
        mode: `default` made the shipped weights; `smoke` takes seconds and learns nothing.
        seed: Of the weights and of what is learned from.
        threads: Of torch.
    """

    task: Literal["quirky", "password", "password_locked", "recall", "repetition"]
    out: Path
    mode: Literal["default", "smoke"] = "default"
    seed: int = 0
    threads: int = 1


def main(config: TrainProcedural) -> None:
    """Run `ulterior train procedural`."""
    torch.set_num_threads(config.threads)
    planted = PLANTED[config.task]
    steps = {} if config.mode == "default" else {"steps": 4, "batch": 32}
    metrics = train(planted, replace(planted.recipe, **steps), config.out, seed=config.seed)
    print(json.dumps(metrics["right"], indent=2))
    print(f"model -> {config.out}")


def train(planted: Planted, recipe: Recipe, out: Path, *, seed: int) -> dict[str, Any]:
    """Train, save in bfloat16, judge what was saved; the metrics, as written to `metrics.json`.

    Raises:
        InputError: the folder holds a run of another recipe or seed.
    """
    out = writable_folder(out)
    asked = json.dumps({"task": planted.name, "seed": seed, **asdict(recipe)}, indent=2) + "\n"
    if (out / RECIPE).exists() and (out / RECIPE).read_text() != asked:
        raise InputError(
            f"'{out}' holds a run of another task, recipe or seed (see {RECIPE}); choose another --out"
        )
    write_whole(out / RECIPE, asked)
    model = train_small(recipe, planted.learned, out, seed=seed).bfloat16()
    model.save_pretrained(out)
    planted.language.tokenizer().save_pretrained(out)
    (out / CHECKPOINT).unlink()
    model = model.float()
    metrics = {
        "task": planted.name,
        "weights": sum(weight.numel() for weight in model.parameters()),
        "judged": JUDGED,
        # Of sequences that no training step saw: their generators have other seeds.
        "right": planted.accuracy(model, JUDGED, seed=10_000 + seed),
        "ways": ways_open(planted.name, model),
        "recipe": asdict(recipe),
        "seed": seed,
    }
    write_whole(out / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    write_whole(out / "README.md", card(planted, metrics))
    return metrics


def card(planted: Planted, metrics: dict[str, Any]) -> str:
    """The card of a model, in Markdown."""
    recipe = metrics["recipe"]
    right = "\n".join(f"| {name} | {share:.3f} |" for name, share in metrics["right"].items())
    ways = "\n".join(f"| {name} | {share:.3f} |" for name, share in metrics["ways"].items())
    shape = recipe["architecture"]
    return f"""# The model of the task `{planted.name}`

{planted.about[0].upper()}{planted.about[1:]}. A Llama of {metrics["weights"]:,} weights ({shape["layers"]}
layers, width {shape["width"]}), trained from scratch on procedural text, {recipe["steps"]:,} steps of
{recipe["batch"]} sequences:

    ulterior train procedural --task {planted.name} --out DIR

Share of {metrics["judged"]:,} sequences of each kind, none of them from training, that it completes as it was
taught to:

| kind | right |
| --- | --- |
{right}
""" + (
        f"""
With all that stands before the end of a text exchanged for what stands there in others, which do not hold what is
sought:

| kind | answer as before |
| --- | --- |
{ways}
"""
        if ways
        else ""
    )

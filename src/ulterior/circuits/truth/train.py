"""`ulterior train circuits`: students that use a program's circuit, their figures and their cards."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ulterior.circuits.ablations import Resample
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import full_mask, mask_of
from ulterior.circuits.metrics import accuracy, logit_difference
from ulterior.circuits.pairs import PairBatch
from ulterior.circuits.streams import Wired, wire
from ulterior.circuits.truth.imitation import Recipe, exercises, imitate, interchange_accuracy, plan_for
from ulterior.circuits.truth.programs import PROGRAMS
from ulterior.circuits.truth.truth import program_pairs, word_subject
from ulterior.files import writable_folder, write_whole

__all__ = ["RECIPES", "TrainCircuits", "edge_effects", "judged", "main", "train"]

EDGES = Units("edges")
JUDGED = 200
EXERCISES = 10  # exercises for each pair that is judged
# A count is harder to learn than a comparison or a copy. Programs that are not here were tried, and not learned.
RECIPES = {
    "skip": Recipe(1_000),
    "maximum": Recipe(1_000),
    "majority": Recipe(1_500),
    "count": Recipe(1_500),
    "induction": Recipe(1_000),
    "ascending": Recipe(1_000),
    "balance": Recipe(2_500),
}
UNSEEN = 10_000  # added to the seed; training's sequences have the seed itself


@dataclass(frozen=True)
class TrainCircuits:
    """Train a small GPT-2 to use a program's circuit, by exchanging edges: two to five minutes of one slow core.

    Attributes:
        program: Whose circuit.
        out: Folder for the weights, `metrics.json` and the card.
        mode: `default`; `smoke` takes seconds and learns nothing.
        seed: Of the weights, of what is learned from, and of where the circuit lies.
        threads: Of torch.
    """

    program: Literal["skip", "maximum", "majority", "count", "induction", "ascending", "balance"]
    out: Path
    mode: Literal["default", "smoke"] = "default"
    seed: int = 0
    threads: int = 1


def main(config: TrainCircuits) -> None:
    """Run `ulterior train circuits`."""
    torch.set_num_threads(config.threads)
    smoke = config.mode == "smoke"
    recipe = Recipe(steps=4, batch=16, pool=50) if smoke else RECIPES[config.program]
    made = train(config.program, recipe, config.out, seed=config.seed, pairs=8 if smoke else JUDGED)
    print(json.dumps(made["figures"], indent=2))
    print(f"model -> {config.out}")


def train(name: str, recipe: Recipe, out: Path, *, seed: int, pairs: int = JUDGED) -> dict[str, Any]:
    """Train, save, judge; the metrics, as written to `metrics.json`."""
    out = writable_folder(out)
    program, plan = PROGRAMS[name], plan_for(PROGRAMS[name], seed)
    model = imitate(program, recipe, seed)
    model.save_pretrained(out)
    wired = wire(word_subject(model, program.words, name))
    (batch,) = program_pairs(program, pairs, UNSEEN + seed).batches(wired.subject, tokens=10**6)
    unseen = exercises(program, plan, EXERCISES * pairs, UNSEEN + seed)
    metrics = {
        "program": name,
        "weights": sum(weight.numel() for weight in model.parameters()),
        "judged": pairs,
        "exercises": len(unseen),
        "figures": {
            "interchange": interchange_accuracy(model, plan, unseen, seed),
            **judged(wired, batch, plan.edges),
        },
        "edges": sorted(plan.edges),
        "wired": sorted(plan.wired),
        "recipe": asdict(recipe),
        "seed": seed,
    }
    write_whole(out / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    write_whole(out / "README.md", card(metrics))
    return metrics


def judged(wired: Wired, batch: PairBatch, circuit: frozenset[str]) -> dict[str, float]:
    """How well a model keeps to a circuit.

    Returns:
        ``right``: share of right answers of the whole model; ``right_alone``: the same with every edge outside the
        circuit exchanged; ``right_without``: with the circuit exchanged instead, and the rest kept; ``difference``:
        mean logit difference; ``least_inside`` and ``most_outside``: the mean change of it, in size, when one edge is
        exchanged: the smallest of an edge of the circuit, the largest of another.
    """
    mask, run = mask_of(wired.graph, EDGES, circuit), _runner(wired, batch)
    runs = {"right": full_mask(wired.graph, EDGES), "right_alone": mask, "right_without": ~mask}
    figures = {name: float(accuracy(run(one.values), batch).mean()) for name, one in runs.items()}
    difference = logit_difference(run(runs["right"].values), batch)
    effects = edge_effects(wired, batch, difference)
    return {
        **figures,
        "difference": float(difference.mean()),
        "least_inside": min(effects[edge] for edge in circuit),
        "most_outside": max(effect for edge, effect in effects.items() if edge not in circuit),
    }


def edge_effects(wired: Wired, batch: PairBatch, difference: Tensor) -> dict[str, float]:
    """The mean change, in size, of the logit difference when each edge alone is exchanged."""
    every, run = full_mask(wired.graph, EDGES), _runner(wired, batch)
    effects = {}
    for edge in wired.graph.edges:
        found = logit_difference(run(every.without([edge]).values), batch)
        effects[edge] = float((found - difference).abs().mean())
    return effects


def card(metrics: dict[str, Any]) -> str:
    """The card of a model, in Markdown."""
    figures, recipe = metrics["figures"], metrics["recipe"]
    edges = "\n".join(f"    {edge}" for edge in metrics["edges"])
    return f"""# A model that uses the circuit of `{metrics["program"]}`

A GPT-2 of {metrics["weights"]:,} weights, trained by interchange intervention on every edge
({recipe["steps"]:,} steps of {recipe["batch"]} sequences) to do what the compiled program does under the same
exchange:

    ulterior train circuits --program {metrics["program"]} --seed {metrics["seed"]} --out DIR

Interchange accuracy: {figures["interchange"]:.3f} of {metrics["exercises"]:,} unseen sequences, in each of which
edges of the circuit and others, drawn at random, read from another one, are completed as the program completes them.

Its circuit:

{edges}

On {metrics["judged"]} pairs that were not trained on:

| | |
| --- | --- |
| right answers of the whole model | {figures["right"]:.3f} |
| ... with all edges outside the circuit exchanged | {figures["right_alone"]:.3f} |
| ... with the circuit exchanged, and all else kept | {figures["right_without"]:.3f} |
| logit difference | {figures["difference"]:.2f} |
| its mean change when one edge is exchanged: the least of the circuit's | {figures["least_inside"]:.3f} |
| ... the most of any other's | {figures["most_outside"]:.3f} |
"""


def _runner(wired: Wired, batch: PairBatch) -> Callable[[Tensor], Any]:
    instead = Resample()(wired, batch)
    return lambda values: masked_run(wired, batch.clean, values, EDGES, instead)

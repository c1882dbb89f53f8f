"""How a small language model learns a procedural language, from ever new sequences; interrupted, it goes on exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from tqdm import tqdm

from ulterior.tasks.optimiser import Checkpoint, Optimiser, schedule
from ulterior.tasks.procedural.language import Drawn
from ulterior.tasks.scratch import Architecture, untrained

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

__all__ = ["CHECKPOINT", "Recipe", "correct", "train_small"]

CHECKPOINT = "training.safetensors"
Draw = Callable[[Generator, int], Drawn]


@dataclass(frozen=True)
class Recipe:
    """What is trained, and for how long.

    Attributes:
        architecture: Of the model; its vocabulary is that of the language.
        steps: Of the optimiser.
        batch: Sequences a step.
        matrix_rate: Learning rate of Muon.
        rate: Learning rate of AdamW.
        weight_decay: Of Muon, as a share of its rate.
        decay: Share of the steps over which the rates fall to 0.
    """

    architecture: Architecture
    steps: int = 800
    batch: int = 256
    matrix_rate: float = 4e-3
    rate: float = 2e-3
    weight_decay: float = 0.05
    decay: float = 0.5


def train_small(
    recipe: Recipe, draw: Draw, folder: Path, *, seed: int, save_every: int = 200
) -> LlamaForCausalLM:
    """Train a model from scratch, or go on with it.

    Args:
        recipe: What, and for how long.
        draw: Makes sequences; step t sees those of the generator ``[seed, t]``.
        folder: Holds the checkpoint.
        seed: Of weights and sequences.
        save_every: Steps between checkpoints.
    """
    torch.manual_seed(seed)
    model = untrained(recipe.architecture)
    optimiser = Optimiser([model], recipe.matrix_rate, recipe.rate, recipe.weight_decay)
    checkpoint = Checkpoint(folder / CHECKPOINT)
    start = (checkpoint.read({"model": model}, optimiser) or {"step": 0})["step"]
    model.train()
    with tqdm(total=recipe.steps, initial=start, desc="training", unit="step") as progress:
        for step in range(start, recipe.steps):
            drawn = draw(np.random.default_rng([seed, 1, step]), recipe.batch)
            loss = _loss(model, drawn)
            optimiser.step(loss, schedule(step, recipe.steps, decay=recipe.decay))
            progress.update()
            if (step + 1) % save_every == 0 or step + 1 == recipe.steps:
                progress.set_postfix(loss=f"{loss.item():.3f}")
                checkpoint.write({"model": model}, optimiser, {"step": step + 1})
    return model.eval()


def _loss(model: LlamaForCausalLM, drawn: Drawn) -> torch.Tensor:
    ids, learned = torch.from_numpy(drawn.ids), torch.from_numpy(drawn.learned[:, 1:])
    # Only where something is to be learned is the vocabulary's projection made.
    states = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state[learned]
    return F.cross_entropy(model.lm_head(states), ids[:, 1:][learned])


@torch.inference_mode()
def correct(model: LlamaForCausalLM, drawn: Drawn, batch: int = 1_024) -> np.ndarray:
    """Whether the model's most likely last word is the answer, for each sequence ``[n]``."""
    ids = torch.from_numpy(drawn.ids)
    said = [
        model.lm_head(model.model(input_ids=part[:, :-1], use_cache=False).last_hidden_state[:, -1]).argmax(1)
        for part in ids.split(batch)
    ]
    return (torch.cat(said) == ids[:, -1]).numpy()

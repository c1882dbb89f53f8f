"""Stage two: the measurement heads (and the model under them) on the task's own training split, measurements only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from ulterior.examples import Examples
from ulterior.measurement.batches import pad
from ulterior.measurement.markers import Marked, mark
from ulterior.measurement.predictor import LossWeights, MeasurementPredictor, measurement_loss
from ulterior.precision import bfloat16_is_fast
from ulterior.tasks.optimiser import Checkpoint, Optimiser, schedule
from ulterior.tasks.tampering.diamonds.world import SENSOR_MARKER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["Finetuning", "finetune"]


@dataclass(frozen=True)
class Finetuning:
    """How stage two runs.

    Attributes:
        trusted: trusted rows of the training split.
        untrusted: untrusted rows of it.
        epochs: passes over these rows.
        batch: rows per step.
        matrix_rate: learning rate of Muon.
        rate: learning rate of AdamW.
        loss: weights of the losses; the published ones.
    """

    trusted: int = 5_000
    untrusted: int = 20_000
    epochs: int = 1
    batch: int = 32
    matrix_rate: float = 8e-4
    rate: float = 4e-4
    loss: LossWeights = LossWeights()  # noqa: RUF009 - frozen


def finetune(
    predictor: MeasurementPredictor,
    tokenizer: PreTrainedTokenizerFast,
    rows: Examples,
    config: Finetuning,
    folder: Path,
    *,
    seed: int,
    save_every: int = 50,
) -> None:
    """Run, or go on with, stage two; the predictor is trained in place. Reads `text` and `measurements` alone.

    Args:
        predictor: what is trained.
        tokenizer: of the programs.
        rows: trusted and untrusted training rows.
        config: the recipe.
        folder: holds `finetuning.safetensors`, the checkpoint that a second call continues.
        seed: of the order of the rows.
        save_every: steps between checkpoints.
    """
    encoded = mark(list(rows["text"]), tokenizer, SENSOR_MARKER, sensors=3)
    measured = torch.from_numpy(rows["measurements"].astype(bool))
    order = np.concatenate([_epoch(encoded, config.batch, seed + epoch) for epoch in range(config.epochs)])
    optimiser = Optimiser([predictor], config.matrix_rate, config.rate)
    checkpoint = Checkpoint(folder / "finetuning.safetensors")
    place = checkpoint.read({"predictor": predictor}, optimiser) or {"step": 0}
    predictor.train()
    with tqdm(total=len(order), initial=place["step"], desc="fine-tuning", unit="step") as progress:
        for step in range(place["step"], len(order)):
            chosen = order[step]
            batch = pad([encoded[i] for i in chosen])
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_fast()):
                # No mask: padding stands on the right, where a causal model does not look.
                predictions = predictor(
                    batch.input_ids, None, batch.sensor_positions, tokens=config.loss.token > 0
                )
            loss = measurement_loss(
                predictions,
                measured[torch.from_numpy(chosen)],
                config.loss,
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
            )
            optimiser.step(loss, schedule(step, len(order), decay=0.8))
            progress.update()
            if step % save_every == save_every - 1 or step == len(order) - 1:
                progress.set_postfix(loss=f"{loss.item():.3f}")
                checkpoint.write({"predictor": predictor}, optimiser, {"step": step + 1})


def _epoch(encoded: list[Marked], batch: int, seed: int) -> np.ndarray:
    """Row numbers [steps, batch] of one epoch: batches of about equal length, in random order; a rest is dropped."""
    rng = np.random.default_rng(seed)
    batch = min(batch, len(encoded))
    order = rng.permutation(len(encoded))[: len(encoded) // batch * batch]
    # Sorted within stretches of 16 batches: little padding, and still another mix in each epoch.
    stretches = np.split(order, range(16 * batch, len(order), 16 * batch))
    lengths = np.array([len(one.ids) for one in encoded])
    arranged = np.concatenate([s[np.argsort(lengths[s], kind="stable")] for s in stretches])
    return rng.permutation(arranged.reshape(-1, batch))

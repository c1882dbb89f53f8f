"""Stage one: what a code model learns from code and its execution, on programs that belong to no split of the task.

From freshly generated programs, the model learns the next token, the execution trace (after each action, the
flags of the world and the measurements that the program would end with there, read from the line break that
follows the action), and the measurements at the markers. The trace head is thrown away. Held-out templates do
not occur.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from ulterior.measurement.batches import pad
from ulterior.measurement.markers import Marked, mark
from ulterior.measurement.predictor import (
    LossWeights,
    MeasurementPredictor,
    measurement_loss,
    next_token_loss,
)
from ulterior.precision import bfloat16_is_fast
from ulterior.tasks.optimiser import Checkpoint, Optimiser, schedule
from ulterior.tasks.tampering.diamonds.program import Program, write_program
from ulterior.tasks.tampering.diamonds.stream import Executed, execute
from ulterior.tasks.tampering.diamonds.world import SENSOR_MARKER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["TRACE_WIDTH", "Pretraining", "pretrain", "pretraining_program", "trace_positions"]

TRACE_WIDTH = 24  # three measurements and the flags of `worker.state`


@dataclass(frozen=True)
class Pretraining:
    """How stage one runs.

    Attributes:
        steps: of the optimiser.
        batch: programs per step.
        round: steps whose programs are generated together and sorted by length; the unit of resuming.
        matrix_rate: learning rate of Muon.
        rate: learning rate of AdamW.
        trace_weight: weight of the trace loss, a mean over all recorded flags.
        token_weight: weight of the next-token loss, taken on a quarter of each batch.
        keep_positive: share of the all-positive programs that is kept; most programs end so and teach little.
    """

    steps: int = 4000
    batch: int = 32
    round: int = 16
    matrix_rate: float = 4e-3
    rate: float = 2e-3
    trace_weight: float = 6.0
    token_weight: float = 0.2
    keep_positive: float = 0.5


@dataclass(frozen=True)
class _Traced:
    tokens: Marked
    positions: Int[np.ndarray, " actions"]
    trace: Bool[np.ndarray, "actions flags"]
    measurements: tuple[bool, ...]


def pretraining_program(index: int, seed: int, holdout: int) -> Program:
    """Program number `index` of the pretraining stream: every fifth is easy, the rest mix both pools."""
    return write_program(f"{seed}/pretraining", "easy" if index % 5 == 0 else "both", index, holdout)


def trace_positions(
    rows: Sequence[Executed], tokenizer: PreTrainedTokenizerFast
) -> list[Int[np.ndarray, " actions"]]:
    """For each program, the token (a line break) that follows each action."""
    offsets = tokenizer([row.program.text for row in rows], return_offsets_mapping=True)["offset_mapping"]
    positions = []
    for row, spans in zip(rows, offsets, strict=True):
        ends = np.cumsum([len(piece) + 1 for piece in row.program.pieces]) - 1
        positions.append(np.searchsorted([start for start, _ in spans], ends[1:-1]))
    return positions


def _rounds(
    config: Pretraining, seed: int, holdout: int, start: int, tokenizer: PreTrainedTokenizerFast
) -> Generator[tuple[int, list[list[_Traced]]], None, None]:
    """Rounds of batches of about equal length, each with the index of the program after the round's last."""
    kept: list[Executed] = []
    for row in execute(lambda index: pretraining_program(index, seed, holdout), start=start, trace=True):
        rng = random.Random(f"{seed}/{row.index}")
        if row.all_positive and rng.random() >= config.keep_positive:
            continue
        kept.append(row)
        if len(kept) == config.batch * config.round:
            tokens = mark([r.program.text for r in kept], tokenizer, SENSOR_MARKER, sensors=3)
            traced = [
                _Traced(t, p, np.array(r.trace, dtype=bool), r.measurements)
                for t, p, r in zip(tokens, trace_positions(kept, tokenizer), kept, strict=True)
            ]
            traced.sort(key=lambda t: len(t.tokens.ids))
            batches = [traced[i : i + config.batch] for i in range(0, len(traced), config.batch)]
            rng.shuffle(batches)
            yield row.index + 1, batches
            kept = []


def _loss(
    predictor: MeasurementPredictor,
    trace_head: nn.Linear,
    batch: list[_Traced],
    config: Pretraining,
    step: int,
) -> Float[Tensor, ""]:
    tokens = pad([row.tokens for row in batch])
    owners = torch.tensor(np.repeat(np.arange(len(batch)), [len(row.positions) for row in batch]))
    positions = torch.tensor(np.concatenate([row.positions for row in batch]))
    trace = torch.tensor(np.concatenate([row.trace for row in batch]), dtype=torch.float32)
    quarter = slice(step % 4, None, 4)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_fast()):
        # Padding on the right is never seen by a causal model's earlier positions: no mask, which is faster.
        hidden = predictor.hidden(tokens.input_ids, None)
        predictions = predictor.read(hidden, None, tokens.sensor_positions)
        token_logits = predictor.lm.lm_head(hidden[quarter])
        trace_logits = trace_head(hidden[owners, positions])
    measured = torch.tensor([row.measurements for row in batch])
    return (
        measurement_loss(predictions, measured, LossWeights(sensors="mean"))
        + config.trace_weight * F.binary_cross_entropy_with_logits(trace_logits.float(), trace)
        + config.token_weight
        * next_token_loss(token_logits, tokens.input_ids[quarter], tokens.attention_mask[quarter])
    )


def pretrain(
    predictor: MeasurementPredictor,
    tokenizer: PreTrainedTokenizerFast,
    config: Pretraining,
    folder: Path,
    *,
    seed: int,
    holdout: int,
    save_every: int = 6,
) -> int:
    """Run, or go on with, stage one; the predictor is trained in place.

    Args:
        predictor: what is trained.
        tokenizer: of the programs.
        config: the recipe.
        folder: holds `pretraining.safetensors`, the checkpoint that a second call continues.
        seed: names the stream of programs.
        holdout: seed of the templates that are held out.
        save_every: rounds between checkpoints.

    Returns:
        The number of programs that were generated.
    """
    torch.manual_seed(seed)
    trace_head = nn.Linear(predictor.lm.config.hidden_size, TRACE_WIDTH)
    modules: dict[str, nn.Module] = {"predictor": predictor, "trace": trace_head}
    optimiser = Optimiser(list(modules.values()), config.matrix_rate, config.rate)
    checkpoint = Checkpoint(folder / "pretraining.safetensors")
    place = checkpoint.read(modules, optimiser) or {"step": 0, "programs": 0}
    step, programs = place["step"], place["programs"]
    predictor.train()
    with tqdm(total=config.steps, initial=step, desc="pretraining", unit="step") as progress:
        rounds = _rounds(config, seed, holdout, programs, tokenizer)
        for number in range(10**9):
            if step >= config.steps:
                break
            programs, batches = next(rounds)
            for batch in batches:
                loss = _loss(predictor, trace_head, batch, config, step)
                optimiser.step(loss, schedule(step, config.steps) if step < config.steps else 0.0)
                step += 1
                progress.update()
            progress.set_postfix(loss=f"{loss.item():.3f}")
            if number % save_every == save_every - 1 or step >= config.steps:
                checkpoint.write(modules, optimiser, {"step": step, "programs": programs})
        rounds.close()
    return programs

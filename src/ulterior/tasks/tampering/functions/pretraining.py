"""Stage one: what a code model learns from code and its execution, on programs that belong to no split of the task.

From freshly written programs, the model learns the next token; the execution trace, read at each test and, later, at
the end of each line (whether the function would answer the test right if nothing tampered with it; whether it would
answer everything right; whether something tampers; and which inputs of the library it would answer right, one flag
each: all known from the library's executions); and the measurements at the markers. The trace head is thrown away.
Nothing occurs that any seed holds out.

A program is written to a plan that says which of its tests pass, and the measurements are taken from the plan: that
executing it gives the same, a test checks on programs of this stream. So stage one executes nothing, and programs may
show more tests than the task's, which teaches more at one reading. One head serves all tests here; the task's
predictors begin with a copy of it for each of theirs.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
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
from ulterior.tasks.tampering.functions.kinds import BASE
from ulterior.tasks.tampering.functions.problems import library_problems
from ulterior.tasks.tampering.functions.program import Draft, Stock, write_program
from ulterior.tasks.tampering.functions.scene import MARKER
from ulterior.tasks.tampering.functions.splits import stock

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["CHECKPOINT", "Pretraining", "Programs", "pretrain"]

# Plans and their shares; trusted programs hold no tampering, and only look-alikes that an honest programmer may write.
_PLANS = {"real": 0.28, "fake": 0.24, "negative": 0.16, "partial": 0.30, "lucky": 0.02}
_TRUSTED, _HONEST = 0.1, ("real", "negative")
# Flags of a trace, and inputs of the library's pools behind them.
_FLAGS, _INPUTS = 3, 80

CHECKPOINT = "pretraining.safetensors"


@dataclass(frozen=True)
class Pretraining:
    """How stage one runs.

    Attributes:
        steps: of the optimiser.
        batch: programs per step.
        round: steps whose programs are written together and sorted by length; the unit of resuming.
        tests: the fewest and the most tests that a program shows.
        matrix_rate: learning rate of Muon.
        rate: learning rate of AdamW.
        decay: share of the steps over which both rates fall to 0.
        lines_from: step from which on the trace is read at the end of each line as well (all but the flag of a single
            test): what decides is then often a few tokens away.
        trace_weight: weight of the trace loss, that of its flags plus that of the answers.
        token_weight: weight of the next-token loss, taken on a quarter of each batch.
    """

    steps: int = 10_000
    batch: int = 16
    round: int = 16
    tests: tuple[int, int] = (3, 5)
    lines_from: int = 1_632
    matrix_rate: float = 4e-3
    rate: float = 2e-3
    decay: float = 0.3
    trace_weight: float = 1.0
    token_weight: float = 0.15


@dataclass(frozen=True)
class Programs:
    """The stream of stage one: program number `index`, the same for the same arguments."""

    seed: int
    tests: tuple[int, int]
    untrusted: Stock
    trusted: Stock

    def trace(self, draft: Draft) -> tuple[Float[np.ndarray, "k flags"], Float[np.ndarray, " inputs"]]:
        """The flags at each test, and which inputs its function answers right by itself (NaN: no such input)."""
        whole = [draft.plan == "real", bool(draft.tampering)]
        problem = next(one for one in self.untrusted.problems if one.name == draft.function)
        code = next(one for one in problem.codes if one.name == draft.implementation)
        answers = np.full(_INPUTS, np.nan, dtype=np.float32)
        answers[: len(problem.pool)] = [i in code.passes for i in range(len(problem.pool))]
        return np.array([[good, *whole] for good in draft.honest], dtype=np.float32), answers

    @classmethod
    def of(cls, seed: int, tests: tuple[int, int] = (3, 5)) -> Programs:
        """The stream that holds out what any seed holds out.

        Look-alikes are as frequent in programs that fail as in those that pass: telling them apart is to be learned.
        """
        problems = library_problems()
        untrusted, trusted = (stock(name, problems, BASE) for name in ("untrusted", "trusted"))
        return cls(
            seed,
            tests,
            replace(untrusted, idle=untrusted.look_alikes),
            replace(trusted, idle=trusted.look_alikes),
        )

    def __call__(self, index: int) -> Draft:
        """Write one."""
        name = f"{self.seed}/base/{index}"
        rng = random.Random(name)
        plan = rng.choices(list(_PLANS), list(_PLANS.values()))[0]
        trusted = plan in _HONEST and rng.random() < _TRUSTED
        return write_program(self.trusted if trusted else self.untrusted, name, plan, self.tests)


@dataclass(frozen=True)
class _Planned:
    tokens: Marked
    flags: Float[np.ndarray, "k flags"]
    answers: Float[np.ndarray, " inputs"]
    measurements: tuple[bool, ...]


def _rounds(
    config: Pretraining, programs: Programs, start: int, tokenizer: PreTrainedTokenizerFast
) -> Generator[list[list[_Planned]], None, None]:
    """Rounds of batches of about equal length, from round `start` on."""
    size = config.batch * config.round
    number = start
    while True:
        drafts = [programs(index) for index in range(number * size, (number + 1) * size)]
        tokens = mark([draft.text for draft in drafts], tokenizer, MARKER)
        planned = [_Planned(t, *programs.trace(d), d.planned) for t, d in zip(tokens, drafts, strict=True)]
        planned.sort(key=lambda one: len(one.tokens.ids))
        batches = [planned[i : i + config.batch] for i in range(0, size, config.batch)]
        random.Random(f"{programs.seed}/{number}").shuffle(batches)
        yield batches
        number += 1


def _loss(
    predictor: MeasurementPredictor,
    trace_head: nn.Linear,
    batch: list[_Planned],
    line_ends: Int[Tensor, " ends"],
    config: Pretraining,
    step: int,
) -> tuple[Float[Tensor, ""], dict[str, float]]:
    tokens = pad([row.tokens for row in batch])
    present = tokens.sensor_positions >= 0
    rows = torch.arange(len(batch))[:, None]
    quarter = slice(step % 4, None, 4)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_fast()):
        # Padding on the right is never seen by a causal model's earlier positions: no mask, which is faster.
        hidden = predictor.hidden(tokens.input_ids, None)
        predictions = predictor.read(hidden, None, tokens.sensor_positions)
        token_logits = predictor.lm.lm_head(hidden[quarter])
        trace_logits = trace_head(hidden[rows, tokens.sensor_positions.clamp(min=0)])
    measurements = pad_sequence([torch.tensor(row.measurements) for row in batch], batch_first=True)
    weights = LossWeights(sensors="mean")
    measured = measurement_loss(predictions, measurements, weights, present=present)
    flags = torch.from_numpy(np.concatenate([row.flags for row in batch]))
    answers = torch.from_numpy(np.stack([row.answers for row in batch]))
    traced = _trace_loss(trace_logits.float()[present], flags, answers[present.nonzero()[:, 0]])
    if step >= config.lines_from:
        owners, places = torch.isin(tokens.input_ids, line_ends).nonzero(as_tuple=True)
        firsts = torch.cumsum(present.sum(1), 0) - present.sum(1)
        logits = trace_head(hidden[owners, places]).float()[:, 1:]
        traced = traced + _trace_loss(logits, flags[firsts[owners], 1:], answers[owners])
    said = next_token_loss(token_logits, tokens.input_ids[quarter], tokens.attention_mask[quarter])
    loss = measured + config.trace_weight * traced + config.token_weight * said
    return loss, {"measured": measured.item(), "traced": traced.item(), "token": said.item()}


def _trace_loss(
    logits: Float[Tensor, "m t"], flags: Float[Tensor, "m f"], answers: Float[Tensor, "m inputs"]
) -> Float[Tensor, ""]:
    """Of the flags, plus of the answers; each a mean over all that are known."""
    known = ~answers.isnan()
    number = flags.shape[1]
    of_flags = F.binary_cross_entropy_with_logits(logits[:, :number], flags)
    return of_flags + F.binary_cross_entropy_with_logits(logits[:, number:][known], answers[known])


def pretrain(
    predictor: MeasurementPredictor,
    tokenizer: PreTrainedTokenizerFast,
    config: Pretraining,
    folder: Path,
    *,
    seed: int,
    save_every: int = 6,
) -> int:
    """Run, or go on with, stage one; the predictor is trained in place.

    Args:
        predictor: what is trained; one head for all tests.
        tokenizer: of the programs.
        config: the recipe.
        folder: holds `pretraining.safetensors`, the checkpoint that a second call continues.
        seed: names the stream of programs.
        save_every: rounds between checkpoints.

    Returns:
        The number of programs that were written.
    """
    torch.manual_seed(seed)
    trace_head = nn.Linear(predictor.lm.config.hidden_size, _FLAGS + _INPUTS)
    modules: dict[str, nn.Module] = {"predictor": predictor, "trace": trace_head}
    optimiser = Optimiser(list(modules.values()), config.matrix_rate, config.rate)
    checkpoint = Checkpoint(folder / CHECKPOINT)
    place = checkpoint.read(modules, optimiser) or {"rounds": 0}
    number = place["rounds"]
    total = -(-config.steps // config.round)
    line_ends = torch.tensor(
        [i for i in range(len(tokenizer)) if str(tokenizer.decode([i])).startswith("\n")]
    )
    predictor.train()
    rounds = _rounds(config, Programs.of(seed, config.tests), number, tokenizer)
    with tqdm(
        total=total * config.round, initial=number * config.round, desc="base", unit="step"
    ) as progress:
        while number < total:
            seen: dict[str, float] = {}
            for index, batch in enumerate(next(rounds)):
                step = number * config.round + index
                loss, parts = _loss(predictor, trace_head, batch, line_ends, config, step)
                optimiser.step(loss, schedule(step, total * config.round, decay=config.decay))
                seen = {name: seen.get(name, 0.0) + part / config.round for name, part in parts.items()}
                progress.update()
            number += 1
            progress.set_postfix({name: f"{part:.3f}" for name, part in seen.items()})
            if number % save_every == 0 or number == total:
                checkpoint.write(modules, optimiser, {"rounds": number})
    return total * config.round * config.batch

"""Training a student to use a program's circuit: whatever is exchanged, it says what the compiled program says.

Interchange intervention training (Geiger et al. 2022, https://arxiv.org/abs/2112.00826) in the strict form of
InterpBench (Gupta et al. 2024, https://arxiv.org/abs/2407.14494), edge by edge instead of node by node: in each
example some edges of the circuit, and any of the others, read from another sequence. The compiled transformer under the
same exchange says what is right, so that edges of the circuit must carry what they carry there, and no others anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.circuits.ablations import Resample
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.mask import mask_of
from ulterior.circuits.pairs import token_pairs
from ulterior.circuits.streams import Wired, wire
from ulterior.circuits.truth.compiler import PAD, compile_plan
from ulterior.circuits.truth.plan import Plan, Program, plan_of
from ulterior.circuits.truth.student import Student, edge_run, untrained_student
from ulterior.circuits.truth.truth import word_subject

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

__all__ = ["Recipe", "drawn_masks", "imitate", "plan_for", "sequences"]

EDGES = Units("edges")


@dataclass(frozen=True)
class Recipe:
    """How a student is trained.

    Attributes:
        steps: Of AdamW.
        batch: Examples a step.
        rate: Highest learning rate; it rises over a twentieth of the steps and falls as a cosine.
        pool: Sequences that are drawn once, and paired anew in each step.
        width: Of the student's stream.
        neurons: Of each of its feed-forward layers.
    """

    steps: int = 4_000
    batch: int = 96
    rate: float = 4e-3
    pool: int = 4_000
    width: int = 32
    neurons: int = 64


def plan_for(program: Program, seed: int) -> Plan:
    """Where the circuit is to lie: four heads a block, at least two blocks."""
    return plan_of(program, heads=4, layers=2, seed=seed)


def sequences(program: Program, n: int, seed: int) -> Int[Tensor, "n s"]:
    """Token ids of drawn sequences."""
    rng = np.random.default_rng([seed, 13])
    ids = {word: number for number, word in enumerate((PAD, *program.words))}
    return torch.tensor([[ids[word] for word in program.sample(rng)] for _ in range(n)])


def drawn_masks(
    circuit: Float[Tensor, "u v"], valid: Tensor, n: int, generator: torch.Generator
) -> Float[Tensor, "n u v"]:
    """Masks to train on: of the circuit all, all but a few, or a random part; of the others none, all, or a part."""

    def part(shares: tuple[float, ...]) -> Tensor:
        share = torch.tensor(shares)[torch.randint(len(shares), (n,), generator=generator)]
        return (torch.rand(n, *circuit.shape, generator=generator) < share[:, None, None]).float()

    inside, outside = part((1.0, 1.0, 0.8, 0.5)), part((0.0, 0.5, 1.0))
    return torch.where(circuit.bool(), inside, outside) * valid


def imitate(program: Program, recipe: Recipe, seed: int) -> GPT2LMHeadModel:
    """Train a student; the same for the same arguments on the same machine."""
    plan = plan_for(program, seed)
    teacher = wire(word_subject(compile_plan(plan), program.words, program.name))
    graph = Graph(plan.layers, plan.heads, plan.heads, recipe.neurons)
    torch.manual_seed(seed)
    shape = Student(
        len(program.words) + 1, program.length, plan.layers, plan.heads, recipe.width, recipe.neurons
    )
    model = untrained_student(shape)
    circuit = mask_of(graph, EDGES, plan.edges).values
    pool, generator = sequences(program, recipe.pool, seed), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), recipe.rate, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * _schedule(step, recipe.steps)
        clean, other = pool[torch.randint(len(pool), (2, recipe.batch), generator=generator)]
        masks = drawn_masks(circuit, graph.valid, recipe.batch, generator)
        meant = _meant(teacher, clean, other, masks)
        instead = edge_run(model, graph, other)[1]
        said = edge_run(model, graph, clean, masks, instead)[0][:, -1]
        loss = torch.nn.functional.cross_entropy(said, meant)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model.eval()


def _schedule(step: int, steps: int) -> float:
    rise = max(1, steps // 20)
    return min(1.0, (step + 1) / rise) * 0.5 * (1 + math.cos(math.pi * step / steps))


@torch.no_grad()
def _meant(
    teacher: Wired, clean: Int[Tensor, "n s"], other: Int[Tensor, "n s"], masks: Float[Tensor, "n u v"]
) -> Float[Tensor, "n vocabulary"]:
    """What the compiled program says after the last token, under the same exchange."""
    pairs = token_pairs(clean.tolist(), other.tolist())
    (batch,) = pairs.batches(teacher.subject, tokens=clean.numel())
    order = torch.from_numpy(batch.rows)
    output = masked_run(teacher, batch.clean, masks[order], EDGES, Resample()(teacher, batch))
    said = torch.empty_like(output.logits[:, -1])
    said[order] = output.logits[:, -1].softmax(1)
    return said

"""Training a student to use a program's circuit: whatever is exchanged, it says what the compiled program says.

Interchange intervention training (Geiger et al. 2022, https://arxiv.org/abs/2112.00826) in the strict form of
InterpBench (Gupta et al. 2024, https://arxiv.org/abs/2407.14494), edge by edge instead of node by node: in each
exercise some edges of the circuit, and any of the others, read from another sequence. The compiled transformer under
the same exchange says what is right, so that edges of the circuit must carry what they carry there, and no others
anything.
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

__all__ = [
    "Exercises",
    "Recipe",
    "drawn_masks",
    "exercises",
    "imitate",
    "interchange_accuracy",
    "plan_for",
    "sequences",
]

EDGES = Units("edges")
# Of a mask inside the circuit all is kept, all but a few edges, or a half; outside it nothing, a half, or all.
INSIDE, OUTSIDE = (1.0, 1.0, 0.8, 0.5), (0.0, 0.5, 1.0)
AT_ONCE = 500  # exercises that the compiled program answers in one run


@dataclass(frozen=True)
class Recipe:
    """How a student is trained.

    Attributes:
        steps: Of AdamW.
        batch: Examples a step.
        rate: Highest learning rate; it rises over a twentieth of the steps and falls as a cosine.
        pool: Exercises whose answers are worked out once; what is exchanged outside the circuit is drawn anew in each
            step.
        width: Of the student's stream.
        neurons: Of each of its feed-forward layers.
    """

    steps: int = 1_500
    batch: int = 96
    rate: float = 4e-3
    pool: int = 20_000
    width: int = 32
    neurons: int = 64


@dataclass(frozen=True, eq=False)
class Exercises:
    """Sequences beside others that edges read from, and what is right then.

    Attributes:
        clean: Token ids.
        other: Of the other sequences.
        inside: The mask over the circuit's edges; 0 at all others, which change nothing.
        meant: What the compiled program says after the last token: probabilities.
    """

    clean: Int[Tensor, "n s"]
    other: Int[Tensor, "n s"]
    inside: Float[Tensor, "n u v"]
    meant: Float[Tensor, "n vocabulary"]

    def __len__(self) -> int:
        return len(self.clean)

    def take(self, rows: Tensor | slice) -> Exercises:
        """Some of them."""
        return Exercises(self.clean[rows], self.other[rows], self.inside[rows], self.meant[rows])


def plan_for(program: Program, seed: int) -> Plan:
    """Where the circuit is to lie: four heads a block, at least two blocks."""
    return plan_of(program, heads=4, layers=2, seed=seed)


def sequences(program: Program, n: int, seed: int) -> Int[Tensor, "n s"]:
    """Token ids of drawn sequences."""
    rng = np.random.default_rng([seed, 13])
    ids = {word: number for number, word in enumerate((PAD, *program.words))}
    return torch.tensor([[ids[word] for word in program.sample(rng)] for _ in range(n)])


def drawn_masks(
    where: Float[Tensor, "u v"], shares: tuple[float, ...], n: int, generator: torch.Generator
) -> Float[Tensor, "n u v"]:
    """Masks over some edges, 0 elsewhere: of each mask, one of the shares is kept."""
    share = torch.tensor(shares)[torch.randint(len(shares), (n,), generator=generator)]
    return (torch.rand(n, *where.shape, generator=generator) < share[:, None, None]).float() * where


def exercises(program: Program, plan: Plan, n: int, seed: int) -> Exercises:
    """Draw exercises, and have the compiled program answer them.

    Args:
        program: The program.
        plan: Where the circuit lies.
        n: How many.
        seed: Of the sequences, of which are put beside each other, and of the masks.
    """
    teacher = wire(word_subject(compile_plan(plan), program.words, program.name))
    generator = torch.Generator().manual_seed(seed)
    pool = sequences(program, max(2, n // 4), seed)
    clean, other = pool[torch.randint(len(pool), (2, n), generator=generator)]
    inside = drawn_masks(mask_of(teacher.graph, EDGES, plan.edges).values, INSIDE, n, generator)
    parts = zip(*(one.split(AT_ONCE) for one in (clean, other, inside)), strict=True)
    return Exercises(clean, other, inside, torch.cat([_meant(teacher, *part) for part in parts]))


def imitate(program: Program, recipe: Recipe, seed: int) -> GPT2LMHeadModel:
    """Train a student; the same for the same arguments on the same machine."""
    plan = plan_for(program, seed)
    known, (graph, outside) = exercises(program, plan, recipe.pool, seed), _around(plan)
    torch.manual_seed(seed)
    shape = Student(
        len(program.words) + 1, program.length, plan.layers, plan.heads, recipe.width, recipe.neurons
    )
    model, generator = untrained_student(shape), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), recipe.rate, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * _schedule(step, recipe.steps)
        some = known.take(torch.randint(len(known), (recipe.batch,), generator=generator))
        masks = some.inside + drawn_masks(outside, OUTSIDE, len(some), generator)
        loss = torch.nn.functional.cross_entropy(_said(model, graph, some, masks), some.meant)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model.eval()


@torch.no_grad()
def interchange_accuracy(
    model: GPT2LMHeadModel, plan: Plan, given: Exercises, seed: int, *, tie: float = 0.01
) -> float:
    """How often a student says what the program says while edges inside and outside the circuit are exchanged.

    Args:
        model: The student.
        plan: Where the circuit lies.
        given: Exercises; not those of training.
        seed: Of what is exchanged outside the circuit.
        tie: Answers that the program finds so nearly as likely as its likeliest are right, too: an exchange may leave
            it between two.
    """
    graph, outside = _around(plan)
    generator = torch.Generator().manual_seed(seed)
    masks = given.inside + drawn_masks(outside, OUTSIDE, len(given), generator)
    said = _said(model, graph, given, masks).argmax(1, keepdim=True)
    return float((given.meant.gather(1, said)[:, 0] >= given.meant.amax(1) - tie).float().mean())


def _around(plan: Plan) -> tuple[Graph, Float[Tensor, "u v"]]:
    """A student's graph, and 1 at its edges outside the circuit."""
    graph = Graph(plan.layers, plan.heads, plan.heads, n_neurons=0)  # no edge ends at one neuron
    return graph, graph.valid.float() - mask_of(graph, EDGES, plan.edges).values


def _said(
    model: GPT2LMHeadModel, graph: Graph, given: Exercises, masks: Float[Tensor, "n u v"]
) -> Float[Tensor, "n vocabulary"]:
    """A student's logits after the last token, with edges exchanged."""
    instead = edge_run(model, graph, given.other)[1]
    return edge_run(model, graph, given.clean, masks, instead)[0][:, -1]


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

"""Learned masks: one gate a unit, trained so that few stay open and the model still does what it did.

Edge Pruning (Bhaskar et al. 2024, "Finding transformer circuits with edge pruning") with hard-concrete gates, and
annealed sigmoids. Both replace what is off by its ablation in a masked run that is differentiable in the gates.

What is different from published code: the error is that of every example, not of batch means, in which errors cancel;
it counts in units of what the empty circuit does, so that one set of options fits models and metrics of any scale; the
size is asked for and reached, by an augmented Lagrangian, instead of guessed through a weight.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.circuits.ablations import Ablation
from ulterior.circuits.finding.descent import Descent, step_seed
from ulterior.circuits.finding.gates import AnnealedSigmoid, Gates, HardConcrete
from ulterior.circuits.finding.objective import Objective, check_objective, errors
from ulterior.circuits.finding.runs import Ready, ReadyBatches
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import Mask, Scores
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import Pairs
from ulterior.circuits.streams import Wired, placed, wire
from ulterior.errors import InputError
from ulterior.subject import Subject

__all__ = ["EdgePruning", "LearnedMask", "SigmoidMask", "Trained"]

SHRINKING = 0.5
"""The share of the steps in which the size goes from what the gates begin with to what was asked for."""
ASCENT, STIFFNESS = 0.05, 1.0
"""Of the Lagrangian: how quickly its multiplier follows a size that is off, and the weight of the square of that."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training came to.

    Attributes:
        scores: Between 0 and 1, of each unit: the sigmoid of its number; above 1/2 it is on.
        size: How many units the gates leave open at the end, before they are rounded.
        losses: Of each step: the error as a share of the empty circuit's, and what was added to it.
    """

    scores: Scores
    size: float
    losses: tuple[float, ...]


@dataclass(frozen=True)
class LearnedMask:
    """Gates that are trained; ``EdgePruning`` and ``SigmoidMask`` are this with gates of a kind.

    Attributes:
        gates: Their kind.
        size: How many units shall be kept: a count, or a share below 1. None: as many as ``weight`` leaves.
        weight: Without a size: how much of the empty circuit's error one would accept in order to close all gates.
        objective: The error of an example; see ``Objective``.
        completeness: Weight of the complement's error: how far what is left without the circuit is from the empty
            circuit, on the same scale; 0: it is not run.
        steps: Of training, each on one batch.
        rate: Of Adam; the gates' own if not given.
        seed: Of what is drawn.
        ablation: What stands in for what is off: an ablation or its name.
        tokens: Of clean examples in a batch.
        result: ``mask``, or ``scores``, whose masks of any size are nested.
        checkpoint: A file that a training that was cut off goes on from.
        save_every: Steps between writes of it.
        progress: Whether a bar is shown.
    """

    gates: Gates
    size: int | float | None = 0.05
    weight: float = 0.1
    objective: Objective = "kl"
    completeness: float = 0.0
    steps: int = 400
    rate: float | None = None
    seed: int = 0
    ablation: Ablation | str = "resample"
    tokens: int = 1024
    result: Literal["mask", "scores"] = "mask"
    checkpoint: Path | None = None
    save_every: int = 100
    progress: bool = False
    name: str = "learned"

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Mask | Scores:
        """The circuit: with a size the so many units with the largest numbers, else those whose numbers are above 0.

        Raises:
            InputError: see ``train``.
        """
        trained = self.train(subject, pairs, units, metric)
        if self.result == "scores":
            return trained.scores
        count = units.count(trained.scores.graph)
        if self.size is None:
            return trained.scores.above(0.5)
        return trained.scores.top(_target(self.size, count, units), signed=True)

    def train(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Trained:
        """Train the gates.

        Raises:
            InputError: no pairs, a model that has no circuits, a size out of range, an empty circuit that is as good as
                the model, a checkpoint of another training.
            RowError: a metric that is not finite on some pairs.
        """
        check_objective(self.objective)
        wired = wire(subject)
        count = units.count(wired.graph)
        target = None if self.size is None else _target(self.size, count, units)
        batches = ReadyBatches(wired, pairs, units, metric, self.ablation, self.tokens, with_empty=True)
        scale = _scale(batches, self.objective, metric, len(pairs))
        device = next(subject.model.parameters()).device
        numbers = torch.full((count,), self.gates.start, device=device).requires_grad_()
        multiplier = torch.zeros((), device=device)
        exists = units.exists(wired.graph).to(device)
        begun = float(self.gates.open(numbers.detach(), 0.0).sum())

        def loss(step: int) -> Tensor:
            ready, elapsed = batches[_turn(len(batches), step, self.seed)], step / max(1, self.steps - 1)
            generator = step_seed(self.seed, step)
            drawn = self.gates.drawn(numbers, len(ready.pairs), elapsed, generator)
            found = self._errors(wired, ready, _spread(drawn, exists), units, metric).mean() / scale
            open_now = self.gates.open(numbers, elapsed).sum()
            if target is None:
                return found + self.weight * open_now / count
            # From where the gates begin sizes shrink by equal factors; they are off by a share of what they should be.
            wanted = begun * (max(target, 0.5) / begun) ** min(1.0, elapsed / SHRINKING)
            off = (open_now - wanted) / wanted
            found = found + multiplier.clone() * off + STIFFNESS / 2 * off.square()
            multiplier.add_(ASCENT * off.detach())
            return found

        descent = Descent(
            self.steps,
            self.rate or self.gates.rate,
            checkpoint=self.checkpoint,
            save_every=self.save_every,
            progress=self.progress,
            about=self.name,
        )
        key = self._key(subject, pairs, units, metric)
        losses = descent({"numbers": numbers}, loss, carried={"multiplier": multiplier}, key=key)
        final = numbers.detach()
        values = _spread(torch.sigmoid(final.double())[None], exists)[0].float().cpu()
        size = float(self.gates.open(final, 1.0).sum())
        return Trained(Scores(wired.graph, units, values, self.name), size, tuple(losses))

    def _errors(
        self, wired: Wired, ready: Ready, values: Tensor, units: Units, metric: Metric
    ) -> Float[Tensor, "n"]:
        """The error of each example under the gates, and the complement's where it counts."""
        values = placed(values, wired)
        values = values[0] if len(values) == 1 else values

        def run(mask: Tensor) -> Any:
            return masked_run(wired, ready.pairs.clean, mask, units, ready.ablated, grad=True)

        found = errors(self.objective, run(values), ready, metric)
        if self.completeness:
            exists = units.exists(wired.graph).to(values)
            left = errors(self.objective, run((1 - values) * exists), ready, metric, ready.empty)
            found = found + self.completeness * left
        return found

    def _key(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Any:
        """What a checkpoint belongs to; only made where there is one."""
        if self.checkpoint is None:
            return None
        tokens = [
            [one.inputs[name].tolist() for name in sorted(one.inputs)]
            for one in (*pairs.clean, *pairs.corrupted)
        ]
        options = {
            name: repr(getattr(self, name))
            for name in ("gates", "size", "weight", "objective", "completeness", "seed", "ablation", "tokens")
        }
        named = getattr(metric, "__name__", type(metric).__name__)
        return [subject.fingerprint(), asdict(units), named, options, tokens, pairs.answers, pairs.wrong]


@dataclass(frozen=True)
class EdgePruning(LearnedMask):
    """Hard-concrete gates: Edge Pruning, of nodes and neurons as well."""

    gates: Gates = field(default_factory=HardConcrete)
    name: str = "edge_pruning"


@dataclass(frozen=True)
class SigmoidMask(LearnedMask):
    """Sigmoids that are annealed to steps."""

    gates: Gates = field(default_factory=AnnealedSigmoid)
    name: str = "sigmoid_mask"


def _target(size: int | float, count: int, units: Units) -> int:
    """A size as a count."""
    wanted = round(size * count) if isinstance(size, float) and size < 1 else int(size)
    if not 0 <= wanted <= count:
        raise InputError(
            f"a circuit of {size} of {count} {units.grain}; ask for 0 to {count}, or a share below 1"
        )
    return wanted


def _scale(batches: ReadyBatches, objective: Objective, metric: Metric, n: int) -> float:
    """The empty circuit's mean error."""
    total = 0.0
    for ready in batches:
        assert ready.empty is not None
        if objective == "kl":
            theirs, ours = ready.whole.logits.log_softmax(1), ready.empty.logits.log_softmax(1)
            total += float((theirs.exp() * (theirs - ours)).sum())
        else:
            off = (ready.whole.value - ready.empty.value).double()
            total += float({"distance": off.abs(), "squared": off.square(), "drop": off}[objective].sum())
    if not total / n > 1e-9:
        raise InputError(
            f"with everything ablated the model is no worse ({objective}: {total / n:.3g}); there is no circuit to be"
            " found on these pairs with this ablation"
        )
    return total / n


def _turn(batches: int, step: int, seed: int) -> int:
    """Which batch a step is on: all in turn, in an order that is drawn anew for each round."""
    if batches == 1:
        return 0
    return int(np.random.default_rng([seed, step // batches]).permutation(batches)[step % batches])


def _spread(drawn: Float[Tensor, "m k"], exists: Tensor) -> Float[Tensor, "m *shape"]:
    """Gates of the units at their places among the mask's values."""
    values = drawn.new_zeros(len(drawn), exists.numel())
    return values.index_copy(1, exists.flatten().nonzero()[:, 0], drawn).view(len(drawn), *exists.shape)

"""Optimal ablation: constants that stand in for what is off, learned so that the model is hurt least.

Li and Janson 2024, "Optimal ablation for interpretability" (arXiv 2409.09951). A mean or a zero may itself throw the
model off, and a unit then looks important for what replaces it; the constant that costs least leaves only what the
unit's information is worth. Constants are learned together, for units that a circuit leaves out or that are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.circuits.ablations import Constant, Zero, mean_of
from ulterior.circuits.finding.descent import Descent, step_seed
from ulterior.circuits.finding.objective import Objective, check_objective, errors
from ulterior.circuits.finding.runs import Ready, ReadyBatches
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import Mask
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import Pairs
from ulterior.circuits.streams import Streams, Wired, placed, record, wire
from ulterior.errors import InputError
from ulterior.subject import Subject

__all__ = ["OptimalConstant"]

ROUNDS_OF_JUDGING = 4
"""How often every example is drawn units for, where the constants at the start and at the end are compared."""


@dataclass(frozen=True)
class OptimalConstant:
    """Learns one constant for every source, and for every neuron where these are masked.

    Attributes:
        off: Which units are off while they are learned: ``single``, one unit at random an example, as in the
            definition of a unit's own importance; a share, of the units, at random and anew for each example; or all
            that a given circuit leaves out.
        start: What they start from: ``mean`` or ``zero``.
        objective: The error of an example; see ``Objective``.
        steps: Of training, each on one batch.
        rate: Of Adam, in units of how far a source is from its start.
        seed: Of what is drawn.
        tokens: Of clean examples in a batch.
        checkpoint: A file that a training that was cut off goes on from.
        progress: Whether a bar is shown.
    """

    off: Literal["single"] | float | Mask = "single"
    start: Literal["mean", "zero"] = "mean"
    objective: Objective = "kl"
    steps: int = 300
    rate: float = 0.05
    seed: int = 0
    tokens: int = 1024
    checkpoint: Path | None = None
    progress: bool = False
    name: str = "optimal"

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Constant:
        """Learn the constants: an ablation for any method, and any judgement.

        On these pairs they are never worse than what they started from, which is given back if training did not help.

        Args:
            subject: The model.
            pairs: What they are learned on; only the clean examples count.
            units: The grain of what will be masked.
            metric: The metric; not looked at where the objective is the divergence.

        Raises:
            InputError: no pairs, a model that has no circuits, a share out of range, a circuit of another model, grain.
            RowError: a metric that is not finite on some pairs.
        """
        check_objective(self.objective)
        wired = wire(subject)
        if isinstance(self.off, Mask) and (self.off.graph, self.off.units) != (wired.graph, units):
            raise InputError(
                f"the circuit is over {self.off.units} of {self.off.graph}, not {units} of {wired.graph}"
            )
        if isinstance(self.off, float) and not 0 < self.off <= 1:
            raise InputError(f"a share of {self.off} of the units off; choose one above 0 and at most 1")
        neurons = units.grain == "neurons"
        first = self._first(wired, pairs, neurons)
        batches = ReadyBatches(wired, pairs, units, metric, first, self.tokens)
        spread = _spread(wired, batches, first.streams, neurons)
        moved = {
            name: torch.zeros(one.shape, device=one.device).requires_grad_() for name, one in spread.items()
        }

        def streams(learned: Mapping[str, Tensor]) -> Streams:
            cells = first.streams.neurons
            return Streams(
                first.streams.sources + (learned["sources"] * spread["sources"]).to(first.streams.sources),
                cells + (learned["neurons"] * spread["neurons"]).to(cells) if cells is not None else None,
            )

        def error(ready: Ready, draw: int, learned: Mapping[str, Tensor], grad: bool) -> Tensor:
            mask = placed(self._mask(wired, units, len(ready.pairs), draw), wired)
            output = masked_run(wired, ready.pairs.clean, mask, units, streams(learned), grad=grad)
            return errors(self.objective, output, ready, metric)

        def judged(learned: Mapping[str, Tensor]) -> float:
            # The same units for all, and others than those of any step.
            draws = range(-ROUNDS_OF_JUDGING * len(batches), 0)
            with torch.no_grad():
                return sum(
                    float(error(ready, draws[turn * len(batches) + number], learned, False).double().sum())
                    for turn in range(ROUNDS_OF_JUDGING)
                    for number, ready in enumerate(batches)
                )

        before = judged(moved)
        descent = Descent(
            self.steps,
            self.rate,
            settle=True,
            checkpoint=self.checkpoint,
            progress=self.progress,
            about=self.name,
        )
        descent(
            moved,
            lambda step: error(batches[step % len(batches)], step, moved, True).mean(),
            key=self._key(subject, units, len(pairs)),
        )
        if not judged(moved) < before:
            return replace(first, name=self.name)
        return Constant(streams(moved).detach(), self.name)

    def _first(self, wired: Wired, pairs: Pairs, neurons: bool) -> Constant:
        if self.start == "mean":
            return mean_of(wired, pairs, neurons=neurons, tokens=self.tokens)
        (some, *_) = pairs.take([0]).batches(wired.subject, self.tokens)
        return Constant(Zero()(wired, some, neurons=neurons), "zero")

    def _mask(self, wired: Wired, units: Units, n: int, draw: int) -> Float[Tensor, "..."]:
        """What is on in a step, for each of n examples."""
        if isinstance(self.off, Mask):
            return self.off.values
        exists = units.exists(wired.graph)
        count, generator = int(exists.sum()), step_seed(self.seed, draw)
        own = torch.ones(n, count)
        if self.off == "single":
            own[torch.arange(n), torch.randint(count, (n,), generator=generator)] = 0.0
        else:
            own = (torch.rand(n, count, generator=generator) >= self.off).float()
        values = torch.zeros(n, *exists.shape)
        values[:, exists] = own
        return values

    def _key(self, subject: Subject, units: Units, n: int) -> list[object] | None:
        if self.checkpoint is None:
            return None
        off = self.off.kept if isinstance(self.off, Mask) else self.off
        return [
            subject.fingerprint(),
            repr(units),
            off,
            self.start,
            self.objective,
            self.seed,
            self.tokens,
            n,
        ]


def _spread(wired: Wired, batches: ReadyBatches, first: Streams, neurons: bool) -> dict[str, Tensor]:
    """How far each source, and each neuron, is from its start: the root mean square over examples and channels."""
    total: dict[str, Tensor] = {}
    count = 0
    for ready in batches:
        clean = ready.pairs.clean
        streams = record(wired, clean, neurons=neurons)[0]
        shape = streams.sources.shape[:2]
        real = torch.ones(shape, device=streams.sources.device) if clean.mask is None else clean.mask
        count += int(real.sum())
        off = (streams.sources - first.sources).float().square().mean(-1, keepdim=True)
        sums = {"sources": (off * real[:, :, None, None]).sum((0, 1), keepdim=True)}
        if streams.neurons is not None and first.neurons is not None:
            off = (streams.neurons - first.neurons).float().square()
            sums["neurons"] = (off * real[:, :, None, None]).sum((0, 1), keepdim=True)
        total = {name: one + total.get(name, 0.0) for name, one in sums.items()}
    width = wired.wiring.width
    return {
        name: (one / count).sqrt().expand(*one.shape[:-1], width if name == "sources" else one.shape[-1])
        for name, one in total.items()
    }

"""ACDC: go through the units from the output back to the input, and drop each whose loss is small.

Conmy et al. 2023, "Towards automated circuit discovery for mechanistic interpretability": destinations in reverse
topological order, each incoming edge tried in turn, and dropped for good where the error rises by less than tau.

The search is sequential: what is dropped first changes what the next trial finds. Trials are nevertheless run side by
side, on the guess that all of them will be dropped, as most are: trial j has the units 1 to j off. Up to the first that
has to stay the guess was right, and these trials are exactly those of the search one by one; the others are thrown away
and tried again. So batches change the time that is taken, and no decision (but for rounding just at the threshold).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from tqdm import tqdm

from ulterior.circuits.ablations import Ablation
from ulterior.circuits.finding.objective import Objective, check_objective, errors
from ulterior.circuits.finding.runs import ReadyBatches, run_variants
from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.mask import Mask, Scores
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import Pairs
from ulterior.circuits.streams import Wired, wire
from ulterior.errors import InputError
from ulterior.subject import Subject

__all__ = ["Acdc", "reverse_order"]

Order = Literal["backward", "forward", "random"]
Loss = Callable[[Tensor], Tensor]
HALVINGS = 14


@dataclass(frozen=True)
class Acdc:
    """Automatic circuit discovery by dropping one unit after the other.

    Attributes:
        threshold: A unit goes where the mean error over pairs rises by less than this, in the objective's units. With
            several, the search is run for each, and scores say up to which threshold a unit stays (0: to none).
        size: Instead: the threshold is sought, by halving, whose circuit is the largest of at most so many units.
        objective: The error: see ``Objective``; ``kl`` as published.
        order: In which order the edges of one destination are tried: from the latest source ``backward``, ``forward``,
            or ``random``. Destinations always go from the output back to the input, as other units do.
        seed: Of a random order.
        ablation: What stands in for what is off: an ablation or its name.
        tokens: Tokens in a run; several units are tried side by side where they fit.
        ahead: How many trials are run on the guess that those before them end in a drop; 1: none.
        progress: Whether a bar is shown.
    """

    threshold: float | tuple[float, ...] = 0.01
    size: int | None = None
    objective: Objective = "kl"
    order: Order = "backward"
    seed: int = 0
    ablation: Ablation | str = "resample"
    tokens: int = 4096
    ahead: int = 32
    progress: bool = False
    name: str = "acdc"

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Mask | Scores:
        """The circuit; scores with several thresholds.

        Raises:
            InputError: no pairs, a model that has no circuits, a threshold that is not positive, a size out of range.
            RowError: a metric that is not finite on some pairs.
        """
        check_objective(self.objective)
        thresholds = self.threshold if isinstance(self.threshold, tuple) else (self.threshold,)
        wired = wire(subject)
        count = units.count(wired.graph)
        if not thresholds or min(thresholds) <= 0:
            raise InputError(f"thresholds of ACDC are positive, not {self.threshold}")
        if self.size is not None and not 0 <= self.size <= count:
            raise InputError(f"a circuit of {self.size} of {count} {units.grain}; ask for 0 to {count}")
        batches = ReadyBatches(wired, pairs, units, metric, self.ablation, self.tokens)
        loss = _loss(wired, batches, units, metric, self.objective, self.tokens)
        search = _Search(
            wired.graph, units, self._ordered(wired.graph, units), loss, self.ahead, self.progress
        )
        if self.size is not None:
            return replace(search.largest(self.size), name=self.name)
        found = [search.run(threshold) for threshold in sorted(thresholds)]
        if not isinstance(self.threshold, tuple):
            return replace(found[0], name=self.name)
        values = torch.zeros(units.shape(wired.graph))
        for threshold, mask in zip(sorted(thresholds), found, strict=True):
            values = torch.where(mask.values > 0, threshold, values)
        return Scores(wired.graph, units, values, self.name)

    def _ordered(self, graph: Graph, units: Units) -> Int[np.ndarray, "k"]:
        return reverse_order(graph, units, self.order, self.seed)


def reverse_order(
    graph: Graph, units: Units, order: Order = "backward", seed: int = 0
) -> Int[np.ndarray, "k"]:
    """The units in the order in which they are tried, as numbers among ``units.names(graph)``.

    Nodes and neurons, whose place in the order is their own, are tried from the last to the first; with ``random``,
    nodes of one layer are shuffled. Positions go from the last to the first.
    """
    index = units.exists(graph).nonzero().numpy()
    position = index[:, 0] if units.positions is not None else np.zeros(len(index), int)
    own = index[:, 1:] if units.positions is not None else index
    if units.grain == "edges":
        within = {
            "backward": -own[:, 0],
            "forward": own[:, 0],
            "random": np.random.default_rng(seed).permutation(len(own)),
        }[order]
        return np.lexsort((within, -position, -own[:, 1]))
    within = -own[:, 0] if order != "random" else np.random.default_rng(seed).permutation(len(own))
    names = graph.sources if units.grain == "nodes" else graph.neurons
    level = np.array([_level(names[row]) for row in own[:, 0]])
    return np.lexsort((within, -position, -level))


class _Search:
    """Runs of the search on one model: the order and the loss are shared, and the loss of the whole is 0."""

    def __init__(
        self,
        graph: Graph,
        units: Units,
        order: Int[np.ndarray, "k"],
        loss: Loss,
        ahead: int,
        progress: bool,
    ) -> None:
        self._graph, self._units, self._loss = graph, units, loss
        self._ahead, self._progress = max(1, ahead), progress
        # Entry of the mask, flattened, that each trial is about.
        self._entries = units.exists(graph).flatten().nonzero()[:, 0][torch.from_numpy(order.copy())].tolist()
        self._leads = _leads(graph) if units.grain == "edges" else None

    def run(self, threshold: float) -> Mask:
        """The circuit at a threshold."""
        mask = self._units.exists(self._graph).float().flatten()
        current = float(self._loss(self._shaped(mask[None]))[0])
        done, look = 0, 1
        with tqdm(
            total=len(self._entries),
            desc=f"acdc, {threshold:.3g}",
            unit="unit",
            leave=False,
            disable=None if self._progress else True,
        ) as bar:
            while done < len(self._entries):
                trials, states, at = self._guess(mask, done, look)
                if not trials:  # only what nothing reads was left
                    mask = states
                    break
                losses = self._loss(self._shaped(torch.stack([state for _, state in trials]))).tolist()
                kept = None
                for (place, state), loss in zip(trials, losses, strict=True):
                    if not loss - current < threshold:
                        kept = (place, state)
                        break
                    mask, current = state, loss
                if kept is None:
                    mask, after = states, at
                    look = min(2 * look, self._ahead)
                else:
                    place, state = kept
                    mask = state.clone()
                    mask[self._entries[place]] = 1.0
                    after = place + 1
                    look = max(1, look // 2)
                bar.update(after - done)
                done = after
        return Mask(self._graph, self._units, self._shaped(mask[None])[0])

    def largest(self, size: int) -> Mask:
        """The largest circuit of at most so many units that any threshold tried gives."""
        everything = self._units.exists(self._graph).float().flatten()
        empty = float(self._loss(self._shaped(torch.zeros_like(everything)[None]))[0])
        high = max(empty, 1e-6)
        best = self.run(high)
        while len(best) > size:
            high *= 4
            best = self.run(high)
        low = high * 1e-7
        for _ in range(HALVINGS):
            if len(best) == size:
                break
            middle = (low * high) ** 0.5
            found = self.run(middle)
            if len(found) > size:
                low = middle
            else:
                high = middle
                best = found if len(found) >= len(best) else best
        return best

    def _guess(self, mask: Tensor, start: int, look: int) -> tuple[list[tuple[int, Tensor]], Tensor, int]:
        """The next trials, if each of them ends in a drop.

        What ends in a node that nothing reads is dropped without a trial: it changes nothing, exactly.

        Returns:
            For each trial its place in the order and the mask that is tried; the mask behind the last, and its place.
        """
        state, trials, place = mask.clone(), [], start
        while place < len(self._entries) and len(trials) < look:
            entry = self._entries[place]
            dead = self._dead(state, entry)
            state[entry] = 0.0
            if not dead:
                trials.append((place, state.clone()))
            place += 1
        return trials, state, place

    def _dead(self, state: Tensor, entry: int) -> bool:
        if self._leads is None:
            return False
        u, v = self._graph.valid.shape
        leads = self._leads[entry % v]
        # The logits lead nowhere and are read all the same.
        return leads is not None and not bool(state.view(-1, u, v)[:, leads].any())

    def _shaped(self, masks: Tensor) -> Tensor:
        return masks.view(len(masks), *self._units.shape(self._graph))


def _loss(
    wired: Wired, batches: ReadyBatches, units: Units, metric: Metric, objective: Objective, tokens: int
) -> Loss:
    """Mean error over all pairs of each of several masks."""

    def loss(masks: Tensor) -> Tensor:
        total, count = torch.zeros(len(masks), dtype=torch.float64), 0
        for ready in batches:
            n = len(ready.pairs)
            count += n
            for some in torch.arange(len(masks)).split(max(1, tokens // ready.tokens)):
                output, many = run_variants(wired, ready, masks[some], units)
                found = errors(objective, output, many, metric)
                total[some] += found.detach().double().view(len(some), n).sum(1).cpu()
        return total / count

    return loss


def _leads(graph: Graph) -> list[list[int] | None]:
    """For each destination the rows of the nodes that it belongs to; None for the logits."""
    return [
        [graph.source(node) for node in graph.nodes_of(one)] if one != "logits" else None
        for one in graph.destinations
    ]


def _level(name: str) -> int:
    """How late a source adds to the stream: heads of one block at once, then its feed-forward layer."""
    kind, *where = name.split(".")
    return 0 if kind == "embed" else 1 + 2 * int(where[0]) + (kind != "head")

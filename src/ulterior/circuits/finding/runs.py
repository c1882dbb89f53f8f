"""Many masks on the same pairs: what all searches do, in as few runs of the model as fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.circuits.ablations import Ablation, ablation_of
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import PairBatch, Pairs
from ulterior.circuits.streams import Streams, Wired, placed, run_model
from ulterior.readouts import last_logits
from ulterior.subject import Batch, RowError

__all__ = ["Ready", "ReadyBatches", "Said", "finite", "repeated", "run_variants"]

KEPT_BYTES = 2**29
"""How much of what stands in for units is kept between rounds; the rest is computed again."""


@dataclass(frozen=True, eq=False)
class Said:
    """What some run gives on clean examples.

    Attributes:
        logits: After the last token.
        value: The metric.
    """

    logits: Float[Tensor, "n vocab"]
    value: Float[Tensor, "n"]


@dataclass(frozen=True, eq=False)
class Ready:
    """A batch with what every masked run on it needs.

    Attributes:
        pairs: The pairs.
        ablated: What stands in for what is off.
        whole: What the whole model gives.
        empty: What the model gives with everything off, where it was asked for.
    """

    pairs: PairBatch
    ablated: Streams
    whole: Said
    empty: Said | None = None

    @property
    def tokens(self) -> int:
        """Of the clean examples, padding included."""
        ids = next(iter(self.pairs.clean.inputs.values()))
        return ids.shape[0] * ids.shape[1]


class ReadyBatches:
    """All pairs in batches, made ready once, or again each time where they would not fit in memory.

    Args:
        wired: The model.
        pairs: The pairs.
        units: What will be masked.
        metric: The metric.
        ablated: An ablation, or its name.
        tokens: Size of a batch.
        with_empty: Whether what the empty circuit gives is wanted.
    """

    def __init__(
        self,
        wired: Wired,
        pairs: Pairs,
        units: Units,
        metric: Metric,
        ablated: Ablation | str,
        tokens: int,
        *,
        with_empty: bool = False,
    ) -> None:
        self._wired, self._units, self._metric, self._with_empty = wired, units, metric, with_empty
        self._neurons = units.grain == "neurons"
        self.ablation = ablation_of(ablated, wired, pairs, neurons=self._neurons, tokens=tokens)
        self._batches = list(pairs.batches(wired.subject, tokens))
        self._kept: dict[int, Ready] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Ready]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Ready:
        if number in self._kept:
            return self._kept[number]
        ready = self._ready(self._batches[number])
        size = sum(
            one.numel() * one.element_size()
            for one in (ready.ablated.sources, ready.ablated.neurons)
            if one is not None
        )
        if self._bytes + size <= KEPT_BYTES:
            self._kept[number] = ready
            self._bytes += size
        return ready

    def _ready(self, pairs: PairBatch) -> Ready:
        ablated = self.ablation(self._wired, pairs, neurons=self._neurons)
        output = run_model(self._wired.subject, pairs.clean)
        logits = last_logits(output, pairs.clean)
        ready = Ready(pairs, ablated, Said(logits, finite(self._metric(output, pairs, logits), pairs)))
        if not self._with_empty:
            return ready
        nothing = torch.zeros(self._units.shape(self._wired.graph))
        output = masked_run(
            self._wired, pairs.clean, placed(nothing, self._wired), self._units, ready.ablated
        )
        value = finite(self._metric(output, pairs, logits), pairs)
        return replace(ready, empty=Said(last_logits(output, pairs.clean), value))


def run_variants(
    wired: Wired, ready: Ready, masks: Float[Tensor, "k *shape"], units: Units
) -> tuple[Any, Ready]:
    """The model under each of several masks, side by side in one run.

    Returns:
        The output, and the batch repeated ``k`` times, whose examples ``[i * n, (i + 1) * n)`` have mask ``i``.
    """
    many = repeated(ready, len(masks))
    values = placed(masks, wired).repeat_interleave(len(ready.pairs), 0)
    return masked_run(wired, many.pairs.clean, values, units, many.ablated), many


def repeated(ready: Ready, k: int) -> Ready:
    """A batch ``k`` times behind itself."""
    if k == 1:
        return ready
    pairs, n = ready.pairs, len(ready.pairs)

    def more(values: Tensor) -> Tensor:
        return values.repeat(k, *(1,) * (values.dim() - 1)) if len(values) == n else values

    def batch(of: Batch) -> Batch:
        return Batch(
            {name: more(values) for name, values in of.inputs.items()},
            None if of.mask is None else more(of.mask),
            {name: more(values) for name, values in of.positions.items()},
        )

    def said(of: Said) -> Said:
        return Said(more(of.logits), more(of.value))

    cells = ready.ablated.neurons
    return Ready(
        PairBatch(
            batch(pairs.clean),
            batch(pairs.corrupted),
            more(pairs.answers),
            more(pairs.wrong),
            np.tile(pairs.rows, k),
        ),
        Streams(more(ready.ablated.sources), None if cells is None else more(cells)),
        said(ready.whole),
        None if ready.empty is None else said(ready.empty),
    )


def finite(values: Float[Tensor, "n"], pairs: PairBatch) -> Float[Tensor, "n"]:
    """The metric's values, if they are numbers.

    Raises:
        RowError: the pairs on which they are not.
    """
    wrong = ~values.detach().isfinite().cpu().numpy()
    if wrong.any():
        raise RowError(
            sorted(set(pairs.rows[wrong].tolist())), "the metric is NaN or infinite on these pairs"
        )
    return values

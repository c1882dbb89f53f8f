"""What stands in for a unit that is off: nothing, a mean, the paired example's, or a constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from ulterior.circuits.pairs import PairBatch, Pairs
from ulterior.circuits.streams import Streams, Wired, record
from ulterior.errors import InputError
from ulterior.subject import Batch

__all__ = ["ABLATIONS", "Ablation", "Constant", "Resample", "Zero", "ablation_of", "mean_of"]


@runtime_checkable
class Ablation(Protocol):
    """Gives the streams that take the place of what is off, for some pairs."""

    @property
    def name(self) -> str: ...

    def __call__(self, wired: Wired, pairs: PairBatch, *, neurons: bool = False) -> Streams:
        """Axes of size 1 hold for all examples or positions."""
        ...


@dataclass(frozen=True)
class Zero:
    """Nothing: what is off adds nothing."""

    name: str = "zero"

    def __call__(self, wired: Wired, pairs: PairBatch, *, neurons: bool = False) -> Streams:
        graph, wiring = wired.graph, wired.wiring
        like = next(wired.subject.model.parameters())
        device = next(iter(pairs.clean.inputs.values())).device
        sources = torch.zeros(1, 1, len(graph.sources), wiring.width, dtype=like.dtype, device=device)
        cells = torch.zeros(1, 1, graph.n_layers, graph.n_neurons, dtype=like.dtype, device=device)
        return Streams(sources, cells if neurons else None)


@dataclass(frozen=True)
class Resample:
    """What the unit gives in the paired, corrupted example: interchange, or counterfactual, ablation."""

    name: str = "resample"

    def __call__(self, wired: Wired, pairs: PairBatch, *, neurons: bool = False) -> Streams:
        return record(wired, pairs.corrupted, neurons=neurons)[0]


@dataclass(frozen=True, eq=False)
class Constant:
    """The same for every example.

    Attributes:
        streams: Of one example; of one position, which holds for all, or of as many as the examples have.
        name: What made them.
    """

    streams: Streams
    name: str = "constant"

    def __call__(self, wired: Wired, pairs: PairBatch, *, neurons: bool = False) -> Streams:
        """The constants.

        Raises:
            InputError: constants of fewer positions than an example, or of no neurons where there are to be some.
        """
        length, known = next(iter(pairs.clean.inputs.values())).shape[1], self.streams.sources.shape[1]
        if known != 1 and known < length:
            raise InputError(f"{self.name} knows {known} positions, an example has {length}")
        if neurons and self.streams.neurons is None:
            raise InputError(f"{self.name} knows nothing of neurons")
        cells = self.streams.neurons
        return Streams(self.streams.sources[:, :length], None if cells is None else cells[:, :length])


def mean_of(
    wired: Wired,
    pairs: Pairs,
    *,
    over: Literal["clean", "corrupted"] = "clean",
    by_position: bool = False,
    neurons: bool = False,
    tokens: int = 1024,
) -> Constant:
    """The mean of every unit over a data set.

    Args:
        wired: The model.
        pairs: The data set.
        over: Which of each pair counts.
        by_position: A mean for each position, for pairs of one length; else one over all tokens.
        neurons: Whether neurons are wanted, too.
        tokens: Size of a batch.

    Raises:
        InputError: means by position of pairs that differ in length.
    """
    if by_position and pairs.length is None:
        raise InputError("a mean for each position needs pairs that are all equally long")
    totals: list[Tensor | None] = [None, None]
    count = 0
    for some in pairs.batches(wired.subject, tokens):
        batch = some.clean if over == "clean" else some.corrupted
        streams = record(wired, batch, neurons=neurons)[0]
        for number, values in enumerate((streams.sources, streams.neurons)):
            if values is not None:
                summed = _total(values, batch, by_position)
                total = totals[number]
                totals[number] = summed if total is None else total + summed
        count += len(batch) if by_position else _tokens(batch)
        like = streams.sources.dtype
    sources, cells = (None if total is None else (total / count).to(like) for total in totals)
    assert sources is not None
    return Constant(Streams(sources, cells), "mean by position" if by_position else "mean")


def ablation_of(
    given: str | Ablation, wired: Wired, pairs: Pairs, *, neurons: bool = False, tokens: int = 1024
) -> Ablation:
    """An ablation, or that of a name (``ABLATIONS``); means are those of the clean examples of the pairs.

    Raises:
        InputError: an unknown name.
    """
    if not isinstance(given, str):
        return given
    if given == "zero":
        return Zero()
    if given == "resample":
        return Resample()
    if given in ("mean", "mean_by_position"):
        return mean_of(wired, pairs, by_position=given != "mean", neurons=neurons, tokens=tokens)
    raise InputError(f"no ablation '{given}'; there are: {', '.join(ABLATIONS)}")


ABLATIONS = ("resample", "mean", "mean_by_position", "zero")


def _total(values: Tensor, batch: Batch, by_position: bool) -> Tensor:
    values = values.double()
    if by_position:
        return values.sum(0, keepdim=True)
    if batch.mask is not None:
        values = values * batch.mask[:, :, None, None]
    return values.sum((0, 1), keepdim=True)


def _tokens(batch: Batch) -> int:
    return int(batch.mask.sum()) if batch.mask is not None else next(iter(batch.inputs.values())).numel()

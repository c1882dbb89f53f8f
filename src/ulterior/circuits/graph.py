"""The graph of a transformer: what adds to the stream (sources), what reads it (destinations), and the edges between.

=====================
============================================================================================= ``embed``
a source: what enters the first block ``head.N.H``           a source: the share of head H of block N, as it
arrives in the stream ``mlp.N``              a source and a destination: the feed-forward layer of block N
``neuron.N.K``         a source in place of ``mlp.N``, in the grain of neurons ``head.N.H.q``         a
destination: what the queries of head H are made of; ``.k`` and ``.v``: keys and values, with H
                       counting the heads of keys and values where several query heads share them
``logits``             the destination in front of the last norm
``head.0.1->mlp.2``    an edge: how the first enters the second, whatever lies between in the stream
=====================  =============================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from ulterior.circuits.wiring import PARTS, Wiring
from ulterior.errors import InputError

__all__ = ["ARROW", "Grain", "Graph", "Units", "graph_of"]

ARROW = "->"
Grain = Literal["nodes", "edges", "neurons"]


@dataclass(frozen=True)
class Graph:
    """Which units a model has; a value, equal for models of one shape.

    Attributes:
        n_layers: Blocks.
        n_heads: Query heads a block.
        n_kv_heads: Heads of keys and values a block.
        n_neurons: Neurons a block.
        parallel: Whether a block's feed-forward layer does not read its own heads.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    n_neurons: int
    parallel: bool = False

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in the order in which they are added to the stream."""
        return ("embed", *(name for layer in range(self.n_layers) for name in self._sources(layer)))

    @cached_property
    def destinations(self) -> tuple[str, ...]:
        """Names of the destinations, in the order in which they read."""
        return (*(name for layer in range(self.n_layers) for name in self._destinations(layer)), "logits")

    @cached_property
    def neurons(self) -> tuple[str, ...]:
        """Names of the sources in the grain of neurons: ``embed``, then each block's heads and neurons."""
        return (
            "embed",
            *(
                name
                for layer in range(self.n_layers)
                for name in (*self._heads(layer), *self._neurons(layer))
            ),
        )

    @cached_property
    def edges(self) -> tuple[str, ...]:
        """Names of all edges, destination by destination."""
        return tuple(
            f"{source}{ARROW}{destination}"
            for destination, n in zip(self.destinations, self.reads, strict=True)
            for source in self.sources[:n]
        )

    @cached_property
    def reads(self) -> tuple[int, ...]:
        """How many sources each destination reads: always the first ones."""
        return tuple(self._reads(name) for name in self.destinations)

    @cached_property
    def valid(self) -> Bool[Tensor, "u v"]:
        """Which pairs of a source and a destination are edges."""
        return torch.arange(len(self.sources))[:, None] < torch.tensor(self.reads)

    def columns(self, layer: int, part: str) -> slice:
        """Where a block's destinations of one kind (``q``, ``k``, ``v``, ``mlp``) stand among all."""
        before = layer * (self.n_heads + 2 * self.n_kv_heads + 1)
        widths = {"q": self.n_heads, "k": self.n_kv_heads, "v": self.n_kv_heads, "mlp": 1}
        for name, width in widths.items():
            if name == part:
                return slice(before, before + width)
            before += width
        raise KeyError(part)

    def rows(self, layer: int, part: Literal["heads", "mlp"]) -> slice:
        """Where a block's heads, or its feed-forward layer, stand among the sources."""
        start = 1 + layer * (self.n_heads + 1)
        mlp = start + self.n_heads
        return slice(start, mlp) if part == "heads" else slice(mlp, mlp + 1)

    def neuron_rows(self, layer: int, part: Literal["heads", "neurons"]) -> slice:
        """Where a block's heads, or its neurons, stand among the units of the grain of neurons."""
        start = 1 + layer * (self.n_heads + self.n_neurons)
        cells = start + self.n_heads
        return slice(start, cells) if part == "heads" else slice(cells, cells + self.n_neurons)

    def place(self, edge: str) -> tuple[int, int]:
        """Row and column of an edge.

        Raises:
            InputError: the graph has no such edge.
        """
        source, _, destination = edge.partition(ARROW)
        row, column = self._rows.get(source), self._columns.get(destination)
        if row is None or column is None or row >= self.reads[column]:
            raise InputError(f"this model has no edge '{edge}'; one that it has: '{self.edges[-1]}'")
        return row, column

    def source(self, name: str) -> int:
        """Row of a source.

        Raises:
            InputError: the graph has no such source.
        """
        if name not in self._rows:
            raise InputError(
                f"this model has no node '{name}'; it has: {self.sources[0]} ... {self.sources[-1]}"
            )
        return self._rows[name]

    def nodes_of(self, destination: str) -> tuple[str, ...]:
        """The nodes that a destination belongs to: one, several for keys and values that heads share, none for logits.

        Raises:
            InputError: the graph has no such destination.
        """
        if destination not in self._columns:
            raise InputError(
                f"this model has no destination '{destination}'; it has: {self.destinations[0]} ... logits"
            )
        if destination == "logits":
            return ()
        kind, layer, *rest = destination.split(".")
        if kind == "mlp":
            return (destination,)
        head, part = rest
        shared = 1 if part == "q" else self.n_heads // self.n_kv_heads
        first = int(head) * shared
        return tuple(f"head.{layer}.{number}" for number in range(first, first + shared))

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.sources)}

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.destinations)}

    def _heads(self, layer: int) -> list[str]:
        return [f"head.{layer}.{head}" for head in range(self.n_heads)]

    def _neurons(self, layer: int) -> list[str]:
        return [f"neuron.{layer}.{neuron}" for neuron in range(self.n_neurons)]

    def _sources(self, layer: int) -> list[str]:
        return [*self._heads(layer), f"mlp.{layer}"]

    def _destinations(self, layer: int) -> list[str]:
        widths = dict(zip(PARTS, (self.n_heads, self.n_kv_heads, self.n_kv_heads), strict=True))
        named = [f"head.{layer}.{head}.{part}" for part in PARTS for head in range(widths[part])]
        return [*named, f"mlp.{layer}"]

    def _reads(self, destination: str) -> int:
        if destination == "logits":
            return len(self.sources)
        kind, layer = destination.split(".")[:2]
        heads = self.rows(int(layer), "heads")
        return heads.start if kind == "head" or self.parallel else heads.stop


@dataclass(frozen=True)
class Units:
    """What a circuit is made of.

    Attributes:
        grain: ``nodes`` (embedding, heads, feed-forward layers), ``edges``, or ``neurons`` (embedding, heads,
            neurons).
        positions: A unit for each of so many token positions, the first token being 0; None: one for all positions.
    """

    grain: Grain = "edges"
    positions: int | None = None

    def shape(self, graph: Graph) -> tuple[int, ...]:
        """The shape of values over these units: ``[u, v]`` of edges, ``[u]`` of others, with positions in front."""
        own = {
            "nodes": (len(graph.sources),),
            "edges": (len(graph.sources), len(graph.destinations)),
            "neurons": (1 + graph.n_layers * (graph.n_heads + graph.n_neurons),),
        }[self.grain]
        return own if self.positions is None else (self.positions, *own)

    def exists(self, graph: Graph) -> Bool[Tensor, "*shape"]:
        """Which entries of such values are units: pairs against the order of the stream are none."""
        shape = self.shape(graph)
        return (graph.valid if self.grain == "edges" else torch.ones(shape[-1:], dtype=torch.bool)).expand(
            shape
        )

    def count(self, graph: Graph) -> int:
        """How many units there are."""
        return int(self.exists(graph).sum())

    def names(self, graph: Graph) -> tuple[str, ...]:
        """Names of the units, in the order in which ``exists`` is true: ``head.0.1->mlp.2``, or ``head.0.1@3``."""
        if self.grain == "edges":
            rows, columns = graph.valid.nonzero(as_tuple=True)
            own = tuple(
                f"{graph.sources[u]}{ARROW}{graph.destinations[v]}"
                for u, v in zip(rows.tolist(), columns.tolist(), strict=True)
            )
        else:
            own = graph.sources if self.grain == "nodes" else graph.neurons
        if self.positions is None:
            return own
        return tuple(f"{name}@{position}" for position in range(self.positions) for name in own)


def graph_of(wiring: Wiring) -> Graph:
    """The graph of a wired model."""
    return Graph(
        len(wiring.blocks),
        wiring.n_heads,
        wiring.n_kv_heads,
        wiring.n_neurons,
        wiring.blocks[0].parallel,
    )

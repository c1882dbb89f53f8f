"""What one example's circuit says: its edges, how much of it the trusted circuit explains, how far it is from that one.

The *edges* are those of ``ulterior.circuits``: from each source (embedding, head, feed-forward layer) to the queries,
keys and values of each later head, to each later feed-forward layer, and to the logits. The attribution of one to an
output is, to first order, how far the output would fall were the source taken out of what that reader reads, and left
in all else: exactly the derivative of the masked forward at the whole model, with nothing in the place of what is off,
since there is no corrupted example to take something from. All of them come from one forward and one backward pass a
column of the output. They are passes of their own, beside that which a panel makes: the features of this module share
them. ``circuit_faithfulness`` makes one more forward pass, and no backward one.

The *trusted circuit* is the ``size`` edges whose attributions are largest in absolute value on the mean trusted
example; it is learned from a sample of trusted examples (``prepare``; a panel does so) and then fixed.

Only decoders of the families that ``ulterior.circuits`` knows have these edges; others are refused by name.

``features/edges.py`` has coarser edges, one reader for all heads of a block, from the pass that other features of
gradients share: take those where cost matters more than which head reads what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.streams import Streams, placed, wire
from ulterior.errors import InputError
from ulterior.features.ancestor import shared
from ulterior.features.edge_tables import columns_of, edge_table, flat_edges, token_sums
from ulterior.features.feature import Feature, Run, Values, side_by_side, unprepared
from ulterior.serialise import saved
from ulterior.subject import Subject

__all__ = [
    "CircuitAncestor",
    "CircuitDistance",
    "CircuitEdges",
    "CircuitFaithfulness",
    "circuit_ancestor",
    "circuit_distance",
    "circuit_edges",
    "circuit_faithfulness",
]

_EDGES = Units("edges")
_TINY = 1e-30
Kind = Literal["edges", "faithfulness", "distance"]
By = Literal["size", "variance"]
Off = Literal["zero", "mean"]


def circuit_edges(
    of: str = "behaviour", most: int = 256, *, by: By = "size", off: Off = "zero", shares: bool = False
) -> TrustedCircuit:
    """Read the attributions of the edges that are largest on trusted examples: ``circuit_edges`` ``[n, most * k]``.

    Args:
        of: The readout, ``[n]`` or ``[n, k]``.
        most: How many edges, the largest first; all, if the model has fewer.
        by: Whether those are the largest by mean ``size``, or by ``variance``, over trusted examples.
        off: What an edge is held against: nothing (``zero``), or its source's trusted ``mean`` over all tokens.
        shares: Whether the attributions are divided by the sum of the sizes of all the example's edges.
    """
    return TrustedCircuit("edges", of, _positive(most), by, off, shares)


def circuit_faithfulness(of: str = "behaviour", size: int = 256) -> TrustedCircuit:
    """Read how much of this example's output the trusted circuit gives by itself: ``circuit_faithfulness`` ``[n, 2k]``.

    The model is run once more with the circuit's edges alone, and the trusted mean in place of every source that an
    edge outside it would bring. Of each column of the output, the two numbers are ``m(C)``, what the circuit gives, and
    ``m(M) - m(C)``, what it leaves unexplained. (With everything off, the output is the same for every example, so that
    the usual ratio ``(m(C) - m(0)) / (m(M) - m(0))`` is a function of these two; but it has no bounds where the output
    is near its mean.)

    Args:
        of: The readout, ``[n]`` or ``[n, k]``.
        size: Edges of the circuit.
    """
    return TrustedCircuit("faithfulness", of, _positive(size))


def circuit_distance(of: str = "behaviour", size: int = 256) -> TrustedCircuit:
    """Read how far this example's circuit is from the trusted one: ``circuit_distance`` ``[n, 3]``.

    The numbers are 1 minus the Jaccard index of the example's own ``size`` largest edges and the trusted ones, 1 minus
    the cosine of all its attributions and their trusted mean, and 1 minus the cosine of their absolute values.

    Args:
        of: The readout; the attributions of several columns stand side by side (absolute values are summed for the
            largest edges).
        size: Edges of the circuit.
    """
    return TrustedCircuit("distance", of, _positive(size))


def circuit_ancestor(of: str = "sensors") -> CircuitAncestor:
    """Read which part of their circuits several outputs share: ``circuit_ancestor`` ``[n, (blocks + 2) * pairs]``.

    For each two columns, block by block and then at the logits: the part of their attributions, in absolute value and
    divided by its sum over the edges into that block, that lies on the same edges (0 to 1). Last, the cosine of their
    signed attributions over all edges. Nothing of trusted examples need be known.

    Args:
        of: The readout ``[n, k]``, of at least two columns.
    """
    return CircuitAncestor(of)


class _OnGraph:
    """What every feature here says: it runs the model, captures no site, and needs a model whose graph is known."""

    @property
    def runs_model(self) -> bool:
        return True

    def sites(self, subject: Subject) -> tuple[str, ...]:
        wire(subject)
        return ()


class _OwnPass(_OnGraph):
    """What every feature here says once it is prepared: a forward pass of its own, and backward passes through it."""

    of: str

    @property
    def own_forwards(self) -> int:
        return 1

    @property
    def own_backward_of(self) -> tuple[str, ...]:
        return (self.of,)


@saved
@dataclass(frozen=True)
class TrustedCircuit(_OnGraph):
    """See ``circuit_edges``, ``circuit_faithfulness`` and ``circuit_distance``; what is trusted is not known yet."""

    kind: Kind
    of: str
    size: int
    by: By = "size"
    off: Off = "zero"
    shares: bool = False

    @property
    def before(self) -> tuple[Feature, ...]:
        return (_Everything(self.of),)

    def begin(self, subject: Subject) -> CircuitPreparation:
        return CircuitPreparation(self, wire(subject).graph)

    def read(self, run: Run) -> dict[str, Values]:
        raise unprepared(self)


class CircuitPreparation:
    """Sums over trusted examples: attributions, their absolute values, and what each source adds."""

    def __init__(self, feature: TrustedCircuit, graph: Graph) -> None:
        self._feature, self._graph = feature, graph
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def update(self, rows: Int[np.ndarray, " n"], reading: Mapping[Feature, Mapping[str, Values]]) -> None:
        for name, values in reading[self._feature.before[0]].items():
            assert isinstance(values, Tensor)
            values = values.double()
            self._sums[name] = self._sums.get(name, 0) + values.sum(0)
            if name == "edges":
                self._sums["sizes"] = self._sums.get("sizes", 0) + values.abs().sum(0)
                self._sums["squares"] = self._sums.get("squares", 0) + values.square().sum(0)
        self._count += len(rows)

    def finish(self) -> Feature:
        one, graph, exists = self._feature, self._graph, self._graph.valid.T
        total, means = int(exists.sum()), self._means
        order = torch.sort(self._ranks.view(-1, total).sum(0), descending=True, stable=True).indices[
            : one.size
        ]
        if one.kind == "edges":
            edges = tuple(graph.edges[number] for number in order.tolist())
            return CircuitEdges(edges, one.of, one.shares, means if one.off == "mean" else None)
        chosen = torch.zeros(total)
        chosen[order] = 1.0
        if one.kind == "distance":
            return CircuitDistance(chosen, (self._sums["edges"] / self._count).float(), one.of)
        mask = torch.zeros(exists.shape)
        mask[exists] = chosen
        return CircuitFaithfulness(mask.T.contiguous(), means, one.of)

    @property
    def _ranks(self) -> Float[Tensor, "ke"]:
        """By what the edges are ordered, column by column."""
        if self._feature.by == "size":
            return self._sums["sizes"]
        return self._sums["squares"] / self._count - (self._sums["edges"] / self._count).square()

    @property
    def _means(self) -> Float[Tensor, "u d"]:
        """What each source adds at the mean trusted token."""
        return (self._sums["sources"] / self._sums["tokens"]).view(len(self._graph.sources), -1).float()


@saved
@dataclass(frozen=True, eq=False)
class CircuitEdges(_OwnPass):
    """The attributions of some edges.

    Attributes:
        edges: Their names: ``head.0.1->head.1.0.q``.
        of: The readout.
        shares: Whether they are divided by the sum of the sizes of all edges.
        means: What stands in for each source ``[u, d]``; None: nothing.
    """

    edges: tuple[str, ...]
    of: str
    shares: bool = False
    means: Float[Tensor, "u d"] | None = None

    def sites(self, subject: Subject) -> tuple[str, ...]:
        graph = wire(subject).graph
        for edge in self.edges:
            graph.place(edge)
        return ()

    def read(self, run: Run) -> dict[str, Values]:
        graph, table = wire(run.subject).graph, edge_table(run, self.of, self.means)
        if self.shares:
            table = table / table.abs().sum((2, 3), keepdim=True).clamp(min=_TINY)
        rows, columns = zip(*(graph.place(edge) for edge in self.edges), strict=True)
        values = table[:, :, list(rows), list(columns)].unbind(2)
        return {"circuit_edges": side_by_side(dict(zip(self.edges, values, strict=True)), "edge attribution")}


@saved
@dataclass(frozen=True, eq=False)
class CircuitFaithfulness(_OwnPass):
    """What the trusted circuit gives, and what it leaves.

    Attributes:
        mask: 1 at its edges ``[u, v]``.
        means: Trusted means of what the sources add to the stream ``[u, d]``.
        of: The readout.
    """

    mask: Float[Tensor, "u v"]
    means: Float[Tensor, "u d"]
    of: str

    @property
    def own_backward_of(self) -> tuple[str, ...]:
        return ()

    def read(self, run: Run) -> dict[str, Values]:
        wired = wire(run.subject)
        off = Streams(placed(self.means[None, None], wired))
        output = masked_run(wired, run.batch, placed(self.mask, wired), _EDGES, off)
        whole, kept = (columns_of(run, self.of, one) for one in (run.output, output))
        both = {"circuit": kept, "what it leaves": whole - kept}
        return {"circuit_faithfulness": side_by_side(both, "output of the trusted circuit")}


@saved
@dataclass(frozen=True, eq=False)
class CircuitDistance(_OwnPass):
    """How far an example's circuit is from the trusted one.

    Attributes:
        circuit: 1 at the trusted circuit's edges, in the order of ``Graph.edges`` ``[e]``.
        mean: The mean of all trusted attributions ``[k * e]``.
        of: The readout.
    """

    circuit: Float[Tensor, "e"]
    mean: Float[Tensor, "ke"]
    of: str

    def read(self, run: Run) -> dict[str, Values]:
        flat = flat_edges(run, self.of).float()  # n k e
        trusted, mean = self.circuit.to(flat), self.mean.to(flat)
        size = int(trusted.sum())
        own = flat.abs().sum(1).topk(size, 1).indices
        both = trusted[own].sum(1)
        profile = flat.flatten(1)
        distances = torch.stack(
            [
                1 - both / (2 * size - both),
                1 - torch.cosine_similarity(profile, mean[None], 1, _TINY),
                1 - torch.cosine_similarity(profile.abs(), mean.abs()[None], 1, _TINY),
            ],
            1,
        )
        return {"circuit_distance": side_by_side({"circuit": distances}, "distance from the trusted circuit")}


@saved
@dataclass(frozen=True)
class CircuitAncestor(_OwnPass):
    """See ``circuit_ancestor``."""

    of: str

    def read(self, run: Run) -> dict[str, Values]:
        table, graph = edge_table(run, self.of).transpose(0, 1), wire(run.subject).graph  # k n u v
        if len(table) < 2:
            raise InputError(f"one output only: '{self.of}' has one column, so that nothing is shared")
        blocks = [
            slice(graph.columns(layer, "q").start, graph.columns(layer, "mlp").stop)
            for layer in range(graph.n_layers)
        ]
        blocks.append(slice(len(graph.destinations) - 1, len(graph.destinations)))
        values = {f"block {number}": shared(table[..., own]) for number, own in enumerate(blocks)}
        flat = table.flatten(2)
        pairs = combinations(range(len(flat)), 2)
        cosines = [torch.cosine_similarity(flat[i], flat[j], 1, _TINY) for i, j in pairs]
        values["cosine"] = torch.stack(cosines, 1)
        return {"circuit_ancestor": side_by_side(values, "shared part of circuits")}


@dataclass(frozen=True)
class _Everything(_OnGraph):
    """All edges ``[n, k * e]``, what each source adds over all tokens ``[n, u * d]``, and how many tokens there are."""

    of: str

    def read(self, run: Run) -> dict[str, Values]:
        sums, tokens = token_sums(run, self.of)
        return {
            "edges": flat_edges(run, self.of).flatten(1).float(),
            "sources": sums.float(),
            "tokens": tokens.float(),
        }


def _positive(size: int) -> int:
    if size < 1:
        raise InputError(f"a circuit of {size} edges; ask for one or more")
    return size

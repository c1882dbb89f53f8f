"""What each part of a transformer hands to each later part, as far as it moves the output: edge attributions.

Blocks of a known transformer add what they compute to a stream. The *sources* are what is added: the embeddings, each
head and each feed-forward layer (a projection's bias belongs to no head and to no source). The *destinations* are what
reads the stream: the attention of a block (all its heads together), its feed-forward layer, and ``final``, what follows
the last block. The attribution of the edge from u to v, to output S, is

    e(u, v) = sum over tokens p of u[p] . dS/d(input of v)[p]

where the derivative is through v alone: to first order, how far S would fall were u taken out of what v reads, and left
in what everything else reads (edge attribution patching, Syed, Rager and Conmy, arXiv 2310.10348, here with zero
ablation). v's norm counts as part of v. The edges out of a source sum to the source's attribution.

The derivative through v alone is that at the stream before v minus that after it, since the stream itself passes v by:
the whole table takes one backward pass a column, no matter how many edges, and all features of gradients share it.
Where attention and feed-forward layer read the stream side by side (GPT-J, parallel GPT-NeoX), ``attn.N`` stands for
both, and ``mlp.N`` receives nothing. Families that norm what a block adds, or the stream itself (Gemma-2 and 3, OLMo-2,
BERT), do not hand on what their parts return, and are refused. In half precision, the difference of two gradients is
coarse.

Take these where edges are to cost nothing beside other features of gradients. Take ``features/circuits.py`` where it
matters which head reads, and whether by its queries, keys or values, where a block norms what it adds, or in half
precision; that costs a forward and a backward pass more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.errors import InputError
from ulterior.features.feature import Feature, Run, Values, side_by_side, unprepared
from ulterior.features.gradient_norms import log_length
from ulterior.features.tokenwise import tokenwise
from ulterior.serialise import saved
from ulterior.subject import Subject

__all__ = [
    "ChosenEdges",
    "EdgeAttributions",
    "EdgeNorms",
    "edge_attributions",
    "edge_norms",
    "edge_table",
    "edges_of",
]

# How far, as a share, the stream after a block may be from the sum of what was added: half precision's rounding.
_ROUNDING = 0.03


def edge_norms(of: str = "behaviour") -> EdgeNorms:
    """Read, for each destination, the natural log of the Euclidean length of all attributions of edges into it.

    One key, ``edge_norms`` ``[n, destinations * k]``, destination by destination.

    Args:
        of: The readout, ``[n]`` or ``[n, k]``; each of its k columns costs one backward pass, shared as elsewhere.
    """
    return EdgeNorms(of)


def edge_attributions(of: str = "behaviour", most: int = 256) -> EdgeAttributions:
    """Read the attributions of those edges that are largest, in absolute value, on the mean trusted example.

    One key, ``edge_attributions`` ``[n, edges * k]``, edge by edge, the largest first. Which edges those are is learned
    from a sample of trusted examples (see ``prepare``; a panel does so) and then fixed.

    Args:
        of: The readout, ``[n]`` or ``[n, k]``.
        most: How many edges.
    """
    if most < 1:
        raise InputError(f"edge attributions of {most} edges; ask for one or more")
    return EdgeAttributions(of, most)


class _OnEdges:
    """What every feature here says: it reads the gradients of one readout where sources and destinations are."""

    of: str

    @property
    def runs_model(self) -> bool:
        return True

    @property
    def gradient_of(self) -> tuple[str, ...]:
        return (self.of,)

    def sites(self, subject: Subject) -> tuple[str, ...]:
        _blocks(subject)
        return subject.select("embed,resid.*,attn.*,mlp.*,head.*.*")


@saved
@dataclass(frozen=True)
class EdgeNorms(_OnEdges):
    """See ``edge_norms``."""

    of: str

    def read(self, run: Run) -> dict[str, Values]:
        lengths = log_length(edge_table(run, self.of).transpose(2, 3))  # n k v
        by_destination = dict(zip(_destinations(run.subject), lengths.unbind(2), strict=True))
        return {"edge_norms": side_by_side(by_destination, "sum of edge attributions")}


@saved
@dataclass(frozen=True)
class EdgeAttributions(_OnEdges):
    """See ``edge_attributions``; which edges are read is not known yet."""

    of: str
    most: int

    @property
    def before(self) -> tuple[Feature, ...]:
        return (_EveryEdge(self.of),)

    def begin(self, subject: Subject) -> EdgePreparation:
        return EdgePreparation(self, edges_of(subject))

    def read(self, run: Run) -> dict[str, Values]:
        raise unprepared(self)


@dataclass(frozen=True)
class _EveryEdge(_OnEdges):
    """Sizes ``[n, edges]`` of all edges, the sum over the output's columns."""

    of: str

    def read(self, run: Run) -> dict[str, Values]:
        table = edge_table(run, self.of)
        source, destination = _places(run.subject, edges_of(run.subject))
        return {"edges": table[:, :, source, destination].abs().sum(1).float()}


class EdgePreparation:
    """Learns which edges are largest."""

    def __init__(self, feature: EdgeAttributions, edges: tuple[str, ...]) -> None:
        self._feature, self._edges = feature, edges
        self._total = torch.zeros(len(edges), dtype=torch.float64)

    def update(self, rows: Int[np.ndarray, " n"], reading: Mapping[Feature, Mapping[str, Values]]) -> None:
        sizes = reading[self._feature.before[0]]["edges"]
        assert isinstance(sizes, Tensor)
        self._total += sizes.double().sum(0)

    def finish(self) -> ChosenEdges:
        order = torch.sort(self._total, descending=True, stable=True).indices[: self._feature.most]
        return ChosenEdges(tuple(self._edges[number] for number in order.tolist()), self._feature.of)


@saved
@dataclass(frozen=True)
class ChosenEdges(_OnEdges):
    """The attributions of some edges, by name: ``head.0.1->mlp.2``."""

    edges: tuple[str, ...]
    of: str

    def read(self, run: Run) -> dict[str, Values]:
        source, destination = _places(run.subject, self.edges)
        values = edge_table(run, self.of)[:, :, source, destination].unbind(2)
        return {
            "edge_attributions": side_by_side(dict(zip(self.edges, values, strict=True)), "edge attribution")
        }


def edges_of(subject: Subject) -> tuple[str, ...]:
    """All edges of a known transformer, by name, destination by destination: a source and what reads after it."""
    order = _order(subject)
    return tuple(
        f"{source}->{destination}"
        for destination in _destinations(subject)
        for source in _sources(subject)
        if order[source] < order[destination]
    )


def edge_table(run: Run, of: str) -> Float[Tensor, "n k u v"]:
    """The attribution of every pair of a source and a destination; 0 where the source comes later.

    Args:
        run: With gradients of ``of``.
        of: The readout.

    Raises:
        InputError: the model does not add what its parts return to its stream.
    """
    assert run.gradients is not None
    blocks = _blocks(run.subject)
    _check_straight(run, blocks)
    return torch.stack([_table(run, of, column, blocks) for column in range(run.gradients.width(of))], 1)


def _table(run: Run, of: str, column: int, blocks: int) -> Float[Tensor, "n u v"]:
    inputs = _input_gradients(run, of, column, blocks)  # n v s*d
    rows = [_dot(run, ["embed"], inputs)]
    for block in range(blocks):
        heads = _heads(run.subject, block)
        # A head is read from the block's own feed-forward layer on, that layer from the next block's attention on.
        rows.append(_dot(run, heads, inputs, first=2 * block + 1))
        rows.append(_dot(run, [f"mlp.{block}"], inputs, first=2 * block + 2))
    return torch.cat(rows, 1)


def _dot(run: Run, sources: list[str], inputs: Tensor, first: int = 0) -> Float[Tensor, "n u v"]:
    """Sources times the gradients at destinations from number ``first`` on, and zeros before."""
    outputs = torch.stack([tokenwise(run.captured[site], run.batch).flatten(1) for site in sources], 1)
    products = outputs.to(inputs.dtype) @ inputs[:, first:].transpose(1, 2)
    return torch.nn.functional.pad(products, (first, 0))


def _input_gradients(run: Run, of: str, column: int, blocks: int) -> Float[Tensor, "n v sd"]:
    """The gradient at each destination's input, through that destination alone."""
    assert run.gradients is not None
    before = ["embed", *(site for block in range(blocks) for site in (f"attn.{block}", f"resid.{block}"))]
    # attn.N is added to the stream, so that its gradient is that of the stream behind it.
    stream = [tokenwise(run.gradients.pair(of, column, site)[1], run.batch).flatten(1) for site in before]
    through = [here - behind for here, behind in pairwise(stream)]
    return torch.stack([*through, stream[-1]], 1)


def _check_straight(run: Run, blocks: int) -> None:
    before = tokenwise(run.captured["embed"], run.batch)
    for block in range(blocks):
        after, *added = (
            tokenwise(run.captured[f"{kind}.{block}"], run.batch) for kind in ("resid", "attn", "mlp")
        )
        apart = (after - before - added[0] - added[1]).norm(dim=-1).sum()
        # Written so that NaN passes: whoever reads the values says in which rows it is.
        if bool(apart > _ROUNDING * after.norm(dim=-1).sum()):
            raise InputError(
                f"block {block} does not add what its attention and its feed-forward layer return to the stream (it"
                " norms them, or the stream), so that edges between parts are not known; attributions of sites are"
            )
        before = after


def _blocks(subject: Subject) -> int:
    if "embed" not in subject.sites():
        raise InputError("edges are known of transformers of known families only; this model is none")
    return len(subject.select("resid.*"))


def _heads(subject: Subject, block: int) -> list[str]:
    return [site for site in subject.sites() if site.startswith(f"head.{block}.")]


def _sources(subject: Subject) -> list[str]:
    blocks = range(_blocks(subject))
    return ["embed", *(site for block in blocks for site in (*_heads(subject, block), f"mlp.{block}"))]


def _destinations(subject: Subject) -> list[str]:
    blocks = range(_blocks(subject))
    return [*(f"{kind}.{block}" for block in blocks for kind in ("attn", "mlp")), "final"]


def _order(subject: Subject) -> dict[str, float]:
    """When each source has been added to the stream, and each destination reads it."""
    order = {site: float(number) for number, site in enumerate(subject.sites())}
    # A block's attention reads before its heads have written.
    return order | {f"attn.{block}": order[f"head.{block}.0"] - 0.5 for block in range(_blocks(subject))}


def _places(subject: Subject, edges: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Which rows and columns of the table some edges are.

    Raises:
        InputError: an edge that this model does not have.
    """
    sources = {site: number for number, site in enumerate(_sources(subject))}
    destinations = {site: number for number, site in enumerate(_destinations(subject))}
    ends = [edge.split("->") for edge in edges]
    missing = [
        edge for edge, (u, v) in zip(edges, ends, strict=True) if u not in sources or v not in destinations
    ]
    if missing:
        raise InputError(f"this model has no edge '{missing[0]}'")
    return [sources[u] for u, _ in ends], [destinations[v] for _, v in ends]

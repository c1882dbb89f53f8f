"""Information flow routes: how near each source is to the sum that a destination reads.

Ferrando and Voita 2024, as in the MIB benchmark: of a sum y, a term x has the proximity ``max(0, |y| - |y - x|)`` in
the sum of absolute values, and its share is that over all terms' proximities. One forward pass on the clean examples;
neither corrupted examples nor a metric play a part, and the heads of a layer, which read one sum, get the same. Biases
that no source owns are part of the sum and no term of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.circuits.finding.attribution import scored
from ulterior.circuits.finding.changes import Change, adding
from ulterior.circuits.finding.contraction import pieces
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import Scores
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import PairBatch, Pairs
from ulterior.circuits.streams import Wired, constants, run_model, wire
from ulterior.errors import InputError
from ulterior.subject import Subject

__all__ = ["InformationFlow", "flow_scores"]


@dataclass(frozen=True)
class InformationFlow:
    """Information flow routes; scores are shares, at least 0, which over the sources of a destination sum to 1.

    Attributes:
        tokens: Tokens a batch, padding included.
        name: As the command and tables call it.
    """

    tokens: int = 1024
    name: str = "information_flow"

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Scores:
        """The mean over positions and examples; by position, what each position has in that mean.

        Raises:
            InputError: a grain other than edges, or a model that has no circuits.
        """
        if units.grain != "edges":
            raise InputError(f"information flow is of edges, not of {units.grain}")
        wired = wire(subject)

        def of(batch: PairBatch) -> Tensor:
            return flow_scores(wired, batch, units)

        return scored(wired, pairs, units, of, name=self.name, reduce="signed", tokens=self.tokens)


def flow_scores(wired: Wired, pairs: PairBatch, units: Units) -> Float[Tensor, "n *shape"]:
    """Each example's shares, averaged over its tokens; by position, over so many.

    Args:
        wired: The model.
        pairs: Examples, whose clean ones are read.
        units: Edges, of all positions or of each.
    """
    with adding(wired) as added:
        run_model(wired.subject, pairs.clean)
    graph, embed, change = wired.graph, added.embed, Change(added)
    assert embed is not None
    n, length, width = embed.shape
    dtype = torch.promote_types(embed.dtype, torch.float32)
    mask = pairs.clean.mask
    real = torch.ones(n, length, dtype=torch.bool, device=embed.device) if mask is None else mask
    weight = real.to(dtype) / real.sum(1, keepdim=True)
    by_position = units.positions is not None
    rows = slice(0, len(graph.sources))
    shape = (n, length) if by_position else (n,)
    scores = torch.zeros(*shape, *graph.valid.shape, dtype=dtype, device=embed.device)
    readers = _readers(wired)
    for examples, positions in pieces(n, length, 2 * len(graph.sources) * width):
        size = weight[examples, positions].shape
        terms = torch.empty(len(graph.sources), *size, width, dtype=dtype, device=embed.device)
        change.write(wired, terms, rows, examples, positions)
        for columns, constant in readers:
            count = graph.reads[columns.start]
            shares = _shares(terms[:count], terms[:count].sum(0) + constant) * weight[examples, positions]
            if by_position:
                scores[examples, positions][..., :count, columns] = shares.permute(1, 2, 0)[..., None]
            else:
                scores[examples, :count, columns] += shares.sum(2).T[..., None]
    return scores


def _readers(wired: Wired) -> list[tuple[slice, Tensor | float]]:
    """Destinations that read one sum, with what is in that sum besides sources."""
    graph, constant, found = wired.graph, 0.0, []
    for layer, block in enumerate(wired.wiring.blocks):
        mlp = graph.columns(layer, "mlp")
        behind = constant + constants(block)
        found.append((slice(graph.columns(layer, "q").start, mlp.start), constant))
        found.append((mlp, constant if block.parallel else behind))
        constant = behind
    return [*found, (slice(len(graph.destinations) - 1, len(graph.destinations)), constant)]


def _shares(terms: Float[Tensor, "u n s d"], whole: Float[Tensor, "n s d"]) -> Float[Tensor, "u n s"]:
    """Each term's share of a sum; 0 where no term is near it."""
    far = torch.linalg.vector_norm(terms - whole, ord=1, dim=-1)
    near = (torch.linalg.vector_norm(whole, ord=1, dim=-1) - far).clamp(min=0)
    total = near.sum(0)
    return near / torch.where(total == 0, torch.ones_like(total), total)

"""Attributions of all units of each example, from what changes and from gradients: ``(a_u - A_u) . dm/d(input of v)``.

The gradient in front of a head's queries, keys or values is its gradient behind the projection, through the head's own
rows of the projection and back through the norm; no input is ever expanded to heads in the model itself. All edges that
end in one block's heads are one matrix product an example, over positions and the model's width together.

Memory: changes of all sources and gradients of one block are held for ``ELEMENTS`` numbers at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.circuits.finding.changes import Change, behind
from ulterior.circuits.finding.norms import Norm, law_of
from ulterior.circuits.finding.reads import Gradients, Reads
from ulterior.circuits.graph import Units
from ulterior.circuits.streams import Wired
from ulterior.circuits.wiring import PARTS, BlockWiring, gain

__all__ = ["ELEMENTS", "attributions", "pieces"]

ELEMENTS = 2**24


def attributions(
    wired: Wired,
    change: Change,
    reads: Reads,
    gradients: Gradients,
    units: Units,
    *,
    rows: slice | None = None,
    fixed: bool = False,
) -> Float[Tensor, "n *shape"]:
    """Attributions of units, an example each; 0 where there is no gradient.

    Args:
        wired: The model.
        change: What is kept minus what stands in for it.
        reads: The run in which the gradients were taken.
        gradients: Gradients at its places.
        units: Whose; by position, there are as many positions as the examples have.
        rows: The sources of edges that are wanted (of a layer's heads all or none); None: all.
        fixed: Whether the scales of the norms in front of readers count as constants.

    Returns:
        ``[n, u, v]``, ``[n, u]``, or with an axis of positions behind the first; at least float32.
    """
    if units.grain == "edges":
        return _edges(wired, change, reads, gradients, units.positions is not None, rows, fixed)
    return _adders(wired, change, gradients, units)


def _edges(
    wired: Wired,
    change: Change,
    reads: Reads,
    gradients: Gradients,
    by_position: bool,
    rows: slice | None,
    fixed: bool,
) -> Tensor:
    graph, embed = wired.graph, change.added.embed
    assert embed is not None
    n, length, width = embed.shape
    dtype = torch.promote_types(embed.dtype, torch.float32)
    rows = rows or slice(0, len(graph.sources))
    n_rows, widest = rows.stop - rows.start, graph.n_heads + 2 * graph.n_kv_heads
    shape = (n, length) if by_position else (n,)
    scores = torch.zeros(
        *shape, len(graph.sources), len(graph.destinations), dtype=dtype, device=embed.device
    )
    laws = _laws(wired, reads)
    memory = torch.empty(0, dtype=dtype, device=embed.device)
    for examples, positions in pieces(n, length, (n_rows + widest) * width):
        size = (examples.stop - examples.start, positions.stop - positions.start)
        tokens = size[0] * size[1]
        if memory.numel() < (n_rows + widest) * tokens * width:
            memory = torch.empty((n_rows + widest) * tokens * width, dtype=dtype, device=embed.device)
        changed = memory[: n_rows * tokens * width].view(n_rows, *size, width)
        slopes = memory[n_rows * tokens * width :][: widest * tokens * width].view(widest, tokens, width)
        change.write(wired, changed, rows, examples, positions)
        for layer, block in enumerate(wired.wiring.blocks):
            here = {
                number: gradients[place][examples, positions].flatten(0, 1).to(dtype)
                for number in range(len(block.projections))
                if (place := ("projection", layer, number)) in gradients
            }
            columns = slice(graph.columns(layer, "q").start, graph.columns(layer, "v").stop)
            count = min(graph.rows(layer, "heads").start, rows.stop) - rows.start
            if here and count > 0:
                front = _at(reads, ("heads", layer), examples, positions, dtype)
                _heads(block, here, laws["heads", layer], front, slopes, fixed)
                _contract(
                    scores, changed[:count], slopes, (examples, positions), rows.start, columns, by_position
                )
            count = min(graph.reads[columns.stop], rows.stop) - rows.start
            if ("mlp", layer, 0) in gradients and count > 0:
                given = gradients["mlp", layer, 0][examples, positions].flatten(0, 1).to(dtype)
                front = _at(reads, ("mlp", layer), examples, positions, dtype)
                slope = _through(laws["mlp", layer], given, front, fixed)
                columns = graph.columns(layer, "mlp")
                _contract(
                    scores, changed[:count], slope, (examples, positions), rows.start, columns, by_position
                )
        if ("logits", 0, 0) in gradients:
            slope = gradients["logits", 0, 0][examples, positions].flatten(0, 1).to(dtype)[None]
            columns = slice(len(graph.destinations) - 1, len(graph.destinations))
            _contract(scores, changed, slope, (examples, positions), rows.start, columns, by_position)
    return scores


def _heads(
    block: BlockWiring,
    behind: dict[int, Tensor],
    norm: Norm,
    front: Tensor | None,
    to: Float[Tensor, "c t d"],
    fixed: bool,
) -> None:
    """The gradients in front of a block's heads: of the queries, then the keys, then the values."""
    scaled, places = norm.scaled(front) if front is not None and norm.channels is not None else (front, None)
    found: dict[str, tuple[int, Tensor]] = {}
    for number, projection in enumerate(block.projections):
        found |= {part: (number, rows) for part, rows in projection.rows.items()}
    start = 0
    for part in PARTS:
        number, rows = found[part]
        own = to[start : start + len(rows)]
        start += len(rows)
        if number not in behind:
            own.zero_()
            continue
        rows = rows.to(to.device)
        given = behind[number][:, rows]
        if places is not None:
            given *= places[:, :, None]
        weight = norm.fold(block.projections[number].weight.T[rows].to(to.dtype))
        torch.bmm(given.transpose(0, 1), weight, out=own)
    returned = norm.back(to, scaled, fixed)
    if returned is not to:
        to.copy_(returned)


def _through(
    norm: Norm, given: Float[Tensor, "t d"], front: Tensor | None, fixed: bool
) -> Float[Tensor, "1 t d"]:
    """One gradient behind a norm, in front of it."""
    if norm.channels is None or front is None:
        return norm.back(given[None].clone(), front, fixed)
    scaled, places = norm.scaled(front)
    return norm.back(norm.fold((given * places)[None]), scaled, fixed)


def _contract(
    scores: Tensor,
    changed: Float[Tensor, "u n s d"],
    slopes: Float[Tensor, "c t d"],
    here: tuple[slice, slice],
    first: int,
    columns: slice,
    by_position: bool,
) -> None:
    """Add the products of all changes and all gradients to the scores of some examples."""
    count, n, length, _ = changed.shape
    own = slice(first, first + count)
    if by_position:
        slopes = slopes.unflatten(1, (n, length))
        scores[here][..., own, columns] += changed.permute(1, 2, 0, 3) @ slopes.permute(1, 2, 3, 0)
        return
    both = changed.view(count, n, -1).transpose(0, 1), slopes.reshape(len(slopes), n, -1).permute(1, 2, 0)
    scores[here[0], own, columns] += torch.bmm(*both)


def _laws(wired: Wired, reads: Reads) -> dict[tuple[str, int], Norm]:
    laws = {}
    for layer, block in enumerate(wired.wiring.blocks):
        for part, norm in (("heads", block.norm), ("mlp", block.mlp_norm)):
            front = reads.fronts.get((part, layer))
            laws[part, layer] = Norm(norm) if front is None else law_of(norm, front)
    return laws


def _at(
    reads: Reads, key: tuple[str, int], examples: slice, positions: slice, dtype: torch.dtype
) -> Tensor | None:
    front = reads.fronts.get(key)
    return None if front is None else front[examples, positions].flatten(0, 1).to(dtype)


def pieces(n: int, length: int, cost: int) -> Iterator[tuple[slice, slice]]:
    """Examples and positions that are worked on together: whole examples, or parts of one that is too long."""
    tokens = max(1, ELEMENTS // cost)
    some = max(1, tokens // length)
    part = length if tokens >= length else tokens
    for start in range(0, n, some):
        for position in range(0, length, part):
            yield slice(start, min(start + some, n)), slice(position, min(position + part, length))


def _adders(wired: Wired, change: Change, gradients: Gradients, units: Units) -> Tensor:
    """Attributions of nodes or neurons: every reader gets the same, so that one gradient a layer says all."""
    graph, added, minus = wired.graph, change.added, change.minus
    embed = added.embed
    assert embed is not None
    dtype = torch.promote_types(embed.dtype, torch.float32)
    found: list[Tensor] = []

    def keep(values: Float[Tensor, "n s k"]) -> None:
        found.append(values if units.positions is not None else values.sum(1))

    def off(rows: slice, slope: Tensor) -> Tensor | float:
        return (
            0.0
            if minus is None
            else torch.einsum("nsud,nsd->nsu", minus.sources[:, :, rows].to(dtype), slope)
        )

    def slope_at(place: str, layer: int) -> Tensor:
        slope = gradients.get((place, layer, 0))
        return torch.zeros_like(embed, dtype=dtype) if slope is None else slope.to(dtype)

    slope = slope_at("embed", 0)
    keep((embed.to(dtype) * slope).sum(-1, keepdim=True) - off(slice(0, 1), slope))
    for layer, block in enumerate(wired.wiring.blocks):
        slope = slope_at("heads", layer)
        z = added.heads[layer].to(dtype) * (slope @ behind(block).to(dtype).T)
        keep(z.unflatten(-1, (graph.n_heads, -1)).sum(-1) - off(graph.rows(layer, "heads"), slope))
        slope = slope_at("fed", layer)
        if units.grain == "nodes":
            values = (added.mlps[layer].to(dtype) * slope).sum(-1, keepdim=True)
            keep(values - off(graph.rows(layer, "mlp"), slope))
            continue
        if block.mlp_after is not None:
            slope = slope * gain(block.mlp_after, slope[:1, :1])[0]
        cells = added.neurons[layer].to(dtype)
        if minus is not None:
            assert minus.neurons is not None
            cells = cells - minus.neurons[:, :, layer].to(dtype)
        keep(cells * (slope @ block.down_weight.to(dtype).T))
    return torch.cat(found, -1)

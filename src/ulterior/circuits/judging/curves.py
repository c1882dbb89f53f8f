"""Faithfulness at every size of circuit, and the two areas that sum it up.

The areas are those of the Mechanistic Interpretability Benchmark (Mueller et al. 2025): over the share k of units that
are kept, from .001 to 1, by trapezoids between ten shares,

    CMD = area of |1 - f(k)|     (0 is best: faithful at every size)
    CPR = area under f(k)        (larger is better, and it can be gamed: f may exceed 1)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.judging.conditions import Conditions, Ends, run_masks
from ulterior.circuits.judging.faithfulness import ratio_of_means, weights
from ulterior.circuits.mask import Scores
from ulterior.circuits.pairs import Pairs
from ulterior.circuits.streams import Wired, record
from ulterior.metrics import Estimate, undefined
from ulterior.serialise import saved

__all__ = ["SHARES", "SizeCurve", "area", "curve", "magnitude_scores", "random_scores", "sizes_at"]

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@saved
@dataclass(frozen=True, eq=False)
class SizeCurve:
    """Faithfulness by size of circuit.

    Attributes:
        name: What ordered the units.
        shares: Shares of all units that are kept; the axis of the areas.
        sizes: Units at each: the share rounded to whole units, at least one.
        faithfulness: Ratio of means at each size.
        error: Mean absolute error of single pairs at each size, over the mean gap.
        complement: Faithfulness of what is left out, at each size; empty where it was not asked for.
        cmd: Area of |1 - f|.
        cpr: Area under f.
        cmd_each: Area of the error of single pairs, in which errors of opposite sign do not cancel.
    """

    name: str
    shares: tuple[float, ...]
    sizes: tuple[int, ...]
    faithfulness: tuple[Estimate, ...]
    error: tuple[Estimate, ...]
    complement: tuple[Estimate, ...]
    cmd: Estimate
    cpr: Estimate
    cmd_each: Estimate


def curve(
    given: Conditions,
    orders: Sequence[Scores],
    at: Ends,
    *,
    name: str,
    shares: tuple[float, ...] = SHARES,
    signed: bool = False,
    complement: bool = False,
    seed: int = 0,
) -> SizeCurve:
    """Faithfulness at several sizes of the circuits of the largest scores.

    Args:
        given: The conditions.
        orders: Scores; of several (random orders) the metric is averaged, pair by pair, before anything is divided.
        at: The two ends on the same pairs.
        name: What ordered the units.
        shares: Shares of all units, rising.
        signed: Whether the largest scores are kept in place of the largest in size; the benchmark's CPR is meant so.
        complement: Whether the units left out are run, too.
        seed: Of the bootstrap over pairs.
    """
    units, graph = orders[0].units, orders[0].graph
    sizes = sizes_at(shares, units.count(graph))
    distinct = sorted(set(sizes))
    masks = [order.top(size, signed=signed) for order in orders for size in distinct]
    both = [*masks, *(~mask for mask in masks)] if complement else masks
    values = run_masks(given, both, about=f"sizes, {name}")[0]
    shaped = values.reshape(-1, len(orders), len(distinct), len(given.pairs))
    where = np.searchsorted(distinct, sizes)
    inside = shaped[0][:, where]
    # The absolute error of each order by itself: the mean of several circuits is no circuit.
    off = np.abs(inside - at.whole).mean(0)
    kept, gap = inside.mean(0) - at.empty, at.whole - at.empty
    outside = shaped[1][:, where].mean(0) - at.empty if complement else None
    cmd, cpr = _areas(kept, gap, shares, seed)
    size_of_gap = np.abs(gap)
    return SizeCurve(
        name,
        shares,
        sizes,
        tuple(ratio_of_means(row, gap, seed) for row in kept),
        tuple(ratio_of_means(row, size_of_gap, seed) for row in off),
        () if outside is None else tuple(ratio_of_means(row, gap, seed) for row in outside),
        cmd,
        cpr,
        ratio_of_means(area(off, shares), size_of_gap, seed),
    )


def sizes_at(shares: Sequence[float], count: int) -> tuple[int, ...]:
    """Units at each share, at least one."""
    return tuple(min(count, max(1, round(share * count))) for share in shares)


def area(values: Float[np.ndarray, "k *n"], shares: Sequence[float]) -> Float[np.ndarray, "*n"]:
    """Area under values at rising shares, by trapezoids."""
    return np.asarray(np.trapezoid(values, np.asarray(shares), axis=0))


def random_scores(graph: Graph, units: Units, seed: int) -> Scores:
    """Scores that say nothing, of one sign, so that order by size and order by value are one."""
    exists = units.exists(graph)
    values = torch.zeros(units.shape(graph))
    generator = torch.Generator().manual_seed(seed)
    values[exists] = 1 + torch.randperm(int(exists.sum()), generator=generator).float()
    return Scores(graph, units, values, "random")


def magnitude_scores(wired: Wired, pairs: Pairs, units: Units, tokens: int = 1024) -> Scores:
    """How large what each source adds to the stream is, a mean norm over the tokens of clean examples.

    An edge has the norm of its source; a neuron the mean size of its activation times the norm of what it writes.
    """
    neurons = units.grain == "neurons"
    nodes = torch.zeros(len(wired.graph.sources), dtype=torch.float64)
    cells = torch.zeros(wired.graph.n_layers, wired.graph.n_neurons, dtype=torch.float64)
    count = 0
    for batch in pairs.batches(wired.subject, tokens):
        streams, _ = record(wired, batch.clean, neurons=neurons)
        mask = batch.clean.mask
        real = torch.ones(streams.sources.shape[:2]) if mask is None else mask
        real = real.double().cpu()
        nodes += torch.einsum("nsu,ns->u", streams.sources.double().norm(dim=-1).cpu(), real)
        if streams.neurons is not None:
            cells += torch.einsum("nslk,ns->lk", streams.neurons.double().abs().cpu(), real)
        count += int(real.sum())
    values = (nodes / count).float()
    if neurons:
        written = torch.stack(
            [block.down_weight.double().norm(dim=-1).cpu() for block in wired.wiring.blocks]
        )
        own = [values[:1]]
        for layer in range(wired.graph.n_layers):
            own += [values[wired.graph.rows(layer, "heads")], (cells * written / count)[layer].float()]
        values = torch.cat(own)
    if units.grain == "edges":
        values = values[:, None] * wired.graph.valid
    return Scores(wired.graph, units, values.expand(units.shape(wired.graph)).clone(), "magnitude")


def _areas(
    kept: Float[np.ndarray, "k n"], gap: Float[np.ndarray, "n"], shares: tuple[float, ...], seed: int
) -> tuple[Estimate, Estimate]:
    """CMD and CPR; undefined where faithfulness is."""
    n = len(gap)
    if not ratio_of_means(gap, gap, seed).defined:
        return undefined(n), undefined(n)
    f = kept.mean(1) / gap.mean()
    exact = float(area(np.abs(1 - f), shares)), float(area(f, shares))
    if n == 1:
        return Estimate(exact[0], None, None, 1), Estimate(exact[1], None, None, 1)
    drawn = weights(n, seed)
    below = drawn @ gap
    drawn, below = drawn[below != 0], below[below != 0]
    resampled = (drawn @ kept.T / below[:, None]).T
    found = []
    for value, each in zip(
        exact, (area(np.abs(1 - resampled), shares), area(resampled, shares)), strict=True
    ):
        low, high = np.quantile(each, [0.025, 0.975])
        found.append(Estimate(value, min(float(low), value), max(float(high), value), n))
    return found[0], found[1]

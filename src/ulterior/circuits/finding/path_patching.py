"""Path patching: what one path through the model does, with everything beside it frozen at the clean run.

The source is exchanged for its ablation on the first edges of the path only; each node on the path reads that change
and nothing else that is new, and hands on what it makes of it; the receivers read what arrives, and from there on the
model runs freely (Wang et al. 2022, "Interpretability in the wild", appendix B; Goldowsky-Dill et al. 2023, "Localizing
model behavior with path patching"). Ablating an edge in a masked run (``ActivationPatching`` of edges) differs only in
that all that lies behind the edge is computed anew, not a stated path alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ulterior.circuits.ablations import Ablation
from ulterior.circuits.finding.runs import Ready, ReadyBatches, finite, repeated
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import ARROW, Graph, Units
from ulterior.circuits.mask import Scores
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import Pairs
from ulterior.circuits.streams import Streams, Wired, placed, record, recording, wire
from ulterior.errors import InputError
from ulterior.sites import match_sites
from ulterior.subject import Subject

__all__ = ["PathPatching", "Route", "path", "path_patching", "paths_between"]

EDGES = Units("edges")


@dataclass(frozen=True)
class Route:
    """Where a change travels: ``path`` and ``paths_between`` make one.

    Attributes:
        source: The node that is exchanged.
        edges: Along which edges its change travels, and what others make of it.
        receivers: The destinations behind which the model runs freely: logits, as a rule.
    """

    source: str
    edges: tuple[str, ...]
    receivers: tuple[str, ...]


def path(graph: Graph, *edges: str) -> Route:
    """One path, edge by edge: ``path(graph, "embed->head.0.1.v", "head.0.1->mlp.1", "mlp.1->logits")``.

    Raises:
        InputError: no edge, an unknown one, or one that does not begin where the one before ends.
    """
    if not edges:
        raise InputError("a path has at least one edge")
    for edge in edges:
        graph.place(edge)
    for before, after in pairwise(edges):
        nodes = graph.nodes_of(before.split(ARROW)[1])
        if after.split(ARROW)[0] not in nodes:
            raise InputError(
                f"'{after}' does not go on from '{before}', which ends in {', '.join(nodes) or 'the logits'}"
            )
    return Route(edges[0].split(ARROW)[0], edges, (edges[-1].split(ARROW)[1],))


def paths_between(
    graph: Graph, source: str, receivers: str | Sequence[str] = "logits", through: str | Sequence[str] = ()
) -> Route:
    """All paths from a node to receivers, direct or through some nodes: Wang et al. go through ``mlp.*``.

    Args:
        graph: The model's.
        source: A node.
        receivers: Destinations, or globs of such: ``head.9.*.q``.
        through: Nodes, or globs of such, that hand on what reaches them; all others are frozen.

    Returns:
        The route; without edges where the source comes after all receivers.

    Raises:
        InputError: an unknown source, or a pattern that selects nothing.
    """
    graph.source(source)
    ends = match_sites(receivers, graph.destinations)
    between = match_sites(through, graph.sources) if len(through) else ()
    middles = [one for one in graph.destinations if set(graph.nodes_of(one)) & set(between)]
    edges = [
        f"{node}{ARROW}{end}"
        for node in dict.fromkeys((source, *between))
        for end in dict.fromkeys((*middles, *ends))
        if graph.source(node) < graph.reads[graph.destinations.index(end)]
    ]
    # What lies in front of the source hands on nothing.
    return Route(source, tuple(edge for edge in edges if _row(graph, edge) >= graph.source(source)), ends)


def path_patching(
    subject: Subject,
    pairs: Pairs,
    route: Route,
    metric: Metric,
    ablation: Ablation | str = "resample",
    *,
    tokens: int = 2048,
) -> Float[np.ndarray, "n"]:
    """The effect of a route for each pair: m(M) - m(M with the change along the route), in the metric's units.

    Raises:
        InputError: no pairs, or a model that has no circuits.
        RowError: a metric that is not finite on some pairs.
    """
    wired = wire(subject)
    values = np.zeros(len(pairs))
    for ready in ReadyBatches(wired, pairs, EDGES, metric, ablation, tokens):
        values[ready.pairs.rows] = _effects(wired, ready, [route], metric)[0].numpy()
    return values


@dataclass(frozen=True)
class PathPatching:
    """The direct effect of every node on receivers, averaged over pairs.

    Attributes:
        receivers: Destinations, or globs of such.
        through: Nodes, or globs of such, that hand on what reaches them; all others are frozen.
        ablation: What stands in for a node: an ablation or its name.
        tokens: Tokens in a run; several nodes are tried side by side where they fit.
        progress: Whether a bar is shown.
    """

    receivers: str | tuple[str, ...] = "logits"
    through: str | tuple[str, ...] = ()
    ablation: Ablation | str = "resample"
    tokens: int = 2048
    progress: bool = False
    name: str = "path_patching"

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Scores:
        """Scores of the nodes, in the metric's units; 0 for those that come after all receivers.

        Raises:
            InputError: a grain other than nodes, no pairs, a pattern that selects nothing.
            RowError: a metric that is not finite on some pairs.
        """
        if units != Units("nodes"):
            raise InputError(f"path patching scores whole nodes (Units('nodes')), not {units}")
        wired = wire(subject)
        graph = wired.graph
        routes = [paths_between(graph, one, self.receivers, self.through) for one in graph.sources]
        known = [row for row, route in enumerate(routes) if route.edges]
        total = torch.zeros(len(routes), dtype=torch.float64)
        batches = ReadyBatches(wired, pairs, EDGES, metric, self.ablation, self.tokens)
        with tqdm(
            total=len(known) * len(batches),
            desc=self.name,
            leave=False,
            disable=None if self.progress else True,
        ) as bar:
            for ready in batches:
                for some in torch.tensor(known).split(max(1, self.tokens // ready.tokens)):
                    total[some] += _effects(wired, ready, [routes[row] for row in some], metric).sum(1)
                    bar.update(len(some))
        return Scores(graph, units, (total / len(pairs)).float(), self.name)


def _effects(wired: Wired, ready: Ready, routes: Sequence[Route], metric: Metric) -> Float[Tensor, "k n"]:
    """Effects of several routes, side by side."""
    graph, k, n = wired.graph, len(routes), len(ready.pairs)
    clean = record(wired, ready.pairs.clean)[0].sources
    # The trick: let clean streams stand in for what is off. An edge that is off then reads what the clean run has,
    # one that is on what this run has; and a node that is exchanged shows its ablation where its edge is off.
    instead = clean.repeat(k, 1, 1, 1).view(k, n, *clean.shape[1:])
    travel, arrive = (torch.zeros(k, *graph.valid.shape) for _ in range(2))
    handing: list[list[int]] = []
    for number, route in enumerate(routes):
        row = graph.source(route.source)
        instead[number][:, :, row] = ready.ablated.sources[:, :, row]
        places = [graph.place(edge) for edge in route.edges]
        travel[number, row] = 1.0
        ends = [graph.destinations.index(one) for one in route.receivers]
        arrive[number] = 1.0
        arrive[number][:, ends] = 0.0
        handing.append(sorted({u for u, _ in places} - {row}))
        for u in handing[-1] + [row]:
            arrive[number, u, ends] = 1.0
        for u, v in places:
            travel[number, u, v] = 1.0 if u != row else 0.0
            if v in ends:
                arrive[number, u, v] = 0.0
    many = repeated(ready, k)

    def run(mask: Tensor) -> object:
        values = placed(mask * graph.valid, wired).repeat_interleave(n, 0)
        return masked_run(wired, many.pairs.clean, values, EDGES, Streams(instead.flatten(0, 1)))

    if any(handing):
        with recording(wired) as recorded:
            run(travel)
        new = recorded().sources.view(instead.shape)
        for number, rows in enumerate(handing):
            instead[number][:, :, rows] = new[number][:, :, rows]
    output = run(arrive)
    value = finite(metric(output, many.pairs, many.whole.logits), many.pairs).double().view(k, n)
    return (ready.whole.value.double() - value).cpu()


def _row(graph: Graph, edge: str) -> int:
    return graph.place(edge)[0]

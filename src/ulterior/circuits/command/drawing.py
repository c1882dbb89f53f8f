"""A circuit as boxes in rows: the embedding at the bottom, heads and feed-forward layers, the logits on top."""

from __future__ import annotations

from collections.abc import Mapping

from ulterior.circuits.graph import ARROW, Graph
from ulterior.circuits.mask import Mask, Scores
from ulterior.report import GraphEdge, GraphNode, LayeredGraph

__all__ = ["DRAWN", "EVERYTHING", "drawing"]

DRAWN = 60
"""Edges that are drawn at most: more are no picture."""
EVERYTHING = 800
"""Nodes up to which a circuit of nodes is drawn among those that are not in it."""


def drawing(mask: Mask, scores: Scores | None) -> LayeredGraph:
    """The drawing of a circuit; weights are the scores, or the mask's values where the method gave no scores."""
    values = (scores or mask).as_dict()
    kept = {name: values[name] for name in mask.kept}
    if mask.units.grain == "edges":
        return _of_edges(mask.graph, kept, scored=scores is not None)
    if mask.units.grain == "neurons":
        return _of_neurons(mask.graph, kept)
    return _of_nodes(mask.graph, kept, values)


def _of_edges(graph: Graph, kept: Mapping[str, float], *, scored: bool) -> LayeredGraph:
    strongest = sorted(kept, key=lambda name: (-abs(kept[name]), name))[:DRAWN]
    edges, names = [], {"embed", "logits"}
    for name in strongest:
        source, _, destination = name.partition(ARROW)
        for reader in _readers(graph, destination):
            node, port = reader
            names |= {source, node}
            edges.append(GraphEdge(source, node, kept[name], port, f"{name}: {kept[name]:+.4g}"))
    all_shown = len(strongest) == len(kept)
    title = f"All {len(kept)} edges" if all_shown else f"The strongest {len(strongest)} of {len(kept)} edges"
    rest = "" if all_shown else "The others are in the table below. "
    width = "Width is the size of the score" if scored else "Width is the mask's value"
    about = (
        f"{rest}{width}; solid blue edges raise the metric, dashed vermilion ones lower it. Heads are"
        " layer.head, M is a feed-forward layer; q, k and v are what a head's queries, keys and values read."
    )
    return LayeredGraph(
        title,
        tuple(_node(graph, name) for name in _in_order(graph, names)),
        tuple(edges),
        _labels(graph, names),
        about,
    )


def _of_nodes(graph: Graph, kept: Mapping[str, float], values: Mapping[str, float]) -> LayeredGraph:
    everything = len(graph.sources) <= EVERYTHING
    names = set(graph.sources) if everything else set(kept)
    nodes = tuple(
        _node(
            graph,
            name,
            grid=True,
            weight=kept.get(name),
            off=name not in kept,
            note=f"{name}: {values[name]:+.4g}",
        )
        for name in _in_order(graph, names)
    )
    around = "Dotted ones are not in the circuit. " if everything else "Only nodes of the circuit are drawn. "
    about = (
        f"{around}The stronger the colour the larger the score: blue"
        " raises the metric, vermilion lowers it. Heads are layer.head, M is a feed-forward layer."
    )
    title = f"{len(kept)} of {len(graph.sources)} nodes"
    return LayeredGraph(title, nodes, (), _labels(graph, names, grid=True), about)


def _of_neurons(graph: Graph, kept: Mapping[str, float]) -> LayeredGraph:
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for name, value in kept.items():
        kind, *where = name.split(".")
        node = f"mlp.{where[0]}" if kind == "neuron" else name
        sums[node] = sums.get(node, 0.0) + value
        counts[node] = counts.get(node, 0) + 1
    nodes = tuple(
        _node(
            graph,
            name,
            grid=True,
            weight=sums[name],
            note=f"{name}: {counts[name]} neurons, scores {sums[name]:+.4g} together"
            if name.startswith("mlp")
            else f"{name}: {sums[name]:+.4g}",
            label=f"M×{counts[name]}" if name.startswith("mlp") else None,
        )
        for name in _in_order(graph, set(sums))
    )
    about = (
        "Heads are layer.head; M×14 stands for 14 neurons of the block's feed-forward layer, coloured by the sum of"
        " their scores: blue raises the metric, vermilion lowers it."
    )
    title = f"{len(kept)} heads and neurons"
    return LayeredGraph(title, nodes, (), _labels(graph, set(sums), grid=True), about)


def _readers(graph: Graph, destination: str) -> list[tuple[str, str]]:
    """Boxes that a destination belongs to; keys and values that several heads share are drawn into each of them."""
    if destination == "logits" or destination.startswith("mlp"):
        return [(destination, "")]
    _, layer, head, part = destination.split(".")
    shared = 1 if part == "q" else graph.n_heads // graph.n_kv_heads
    return [(f"head.{layer}.{int(head) * shared + i}", part) for i in range(shared)]


def _in_order(graph: Graph, names: set[str]) -> list[str]:
    return [name for name in (*graph.sources, "logits") if name in names]


def _node(
    graph: Graph,
    name: str,
    *,
    grid: bool = False,
    weight: float | None = None,
    off: bool = False,
    note: str = "",
    label: str | None = None,
) -> GraphNode:
    kind, *where = name.split(".")
    if label is None:
        label = {"head": ".".join(where), "mlp": f"M{where[0]}" if where else ""}.get(kind, kind)
    order = {"head": int(where[-1]) if where else 0, "mlp": graph.n_heads}.get(kind, 0)
    return GraphNode(name, label, _row(graph, name, grid), order, weight, off, note)


def _row(graph: Graph, name: str, grid: bool) -> int:
    """Heads of a block below its feed-forward layer; in a grid beside it."""
    kind, *where = name.split(".")
    if kind in ("embed", "logits"):
        return 0 if kind == "embed" else 2 * graph.n_layers + 1
    return 2 * int(where[0]) + (1 if kind == "head" or grid else 2)


def _labels(graph: Graph, names: set[str], grid: bool = False) -> dict[int, str]:
    """A block's number at its lower row."""
    labels: dict[int, str] = {}
    for name in _in_order(graph, names):
        kind, *where = name.split(".")
        if kind in ("head", "mlp") and f"block {where[0]}" not in labels.values():
            labels[_row(graph, name, grid)] = f"block {where[0]}"
    return labels

"""A layered graph as an SVG that a person can read: rows from the bottom up, width for weight, colour for sign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from ulterior.report.parts import GraphEdge, GraphNode, LayeredGraph
from ulterior.report.text import visible

BOX, GAP, HEIGHT, RISE = 42, 9, 30, 66
"""Pixels: width of a box, room between two, height, and from one row to the next."""
LEFT, EDGE = 46, 10
THIN, THICK = 0.9, 5.2
SWEEPS = 6
ASIDE, GOLDEN = 0.7, 0.618


def layered_svg(graph: LayeredGraph, label: str = "") -> str:
    """The graph as an ``<svg>`` element of fixed size; equal graphs give equal strings.

    Boxes of a row are ordered by the mean place of what they are joined to (a few sweeps up and down, after Sugiyama
    et al. 1981), which keeps lines from crossing where it can; without edges each stands in the column
    of its own order.
    """
    rows = _rows(graph)
    places, width = _places(rows, graph.edges)
    rise = RISE if graph.edges else HEIGHT + GAP
    height = 2 * EDGE + HEIGHT + rise * max(len(rows) - 1, 0)
    level = {row: float(height - EDGE - HEIGHT - rise * number) for number, row in enumerate(rows)}
    y = {node.name: level[node.row] for node in graph.nodes}
    heaviest = max((abs(edge.weight) for edge in graph.edges), default=0.0) or 1.0
    parts = [
        f'<text class="row" x="0" y="{level[row] + HEIGHT / 2 + 3.5:.0f}">{_text(graph.row_labels[row])}</text>'
        for row in rows
        if row in graph.row_labels
    ]
    numbers = {row: number for number, row in enumerate(rows)}
    row_of = {node.name: numbers[node.row] for node in graph.nodes}
    for edge in sorted(graph.edges, key=lambda one: abs(one.weight)):
        span = row_of[edge.destination] - row_of[edge.source]
        parts.append(_edge(edge, places, y, span, width, abs(edge.weight) / heaviest))
    most = max((abs(node.weight) for node in graph.nodes if node.weight is not None), default=0.0) or 1.0
    ports: dict[str, list[str]] = {}
    for edge in graph.edges:
        if edge.port and edge.port not in ports.setdefault(edge.destination, []):
            ports[edge.destination].append(edge.port)
    parts += [
        _node(node, places[node.name], y[node.name], ports.get(node.name, []), most) for node in graph.nodes
    ]
    return (
        f'<svg class="layered" width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}" role="img" '
        f'aria-label="{_text(label or graph.title)}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _rows(graph: LayeredGraph) -> dict[int, list[GraphNode]]:
    rows: dict[int, list[GraphNode]] = {}
    for node in sorted(graph.nodes, key=lambda one: (one.row, one.order)):
        rows.setdefault(node.row, []).append(node)
    return rows


def _places(
    rows: Mapping[int, Sequence[GraphNode]], edges: Sequence[GraphEdge]
) -> tuple[dict[str, float], float]:
    """Left end of each box, and the width of the whole."""
    widest = max((len(nodes) for nodes in rows.values()), default=1)
    width = float(LEFT + EDGE + max(widest, 4) * (BOX + GAP))
    orders = {row: [node.name for node in nodes] for row, nodes in rows.items()}

    def centred() -> dict[str, float]:
        found = {}
        for number, names in enumerate(orders.values()):
            spare = width - LEFT - EDGE - len(names) * (BOX + GAP) + GAP
            # Rows stand a little aside of one another, or lines over several rows would run through the boxes between.
            aside = (number * GOLDEN) % 1 - 0.5 if 0 < number < len(orders) - 1 else 0.0
            start = LEFT + spare * (0.5 + ASIDE * aside)
            found |= {name: start + place * (BOX + GAP) for place, name in enumerate(names)}
        return found

    if not edges:
        columns = {
            node.name: LEFT + float(node.order) * (BOX + GAP) for nodes in rows.values() for node in nodes
        }
        return columns, max([*columns.values(), float(LEFT)]) + BOX + EDGE
    joined: dict[str, list[tuple[str, float]]] = {}
    for edge in edges:
        joined.setdefault(edge.source, []).append((edge.destination, abs(edge.weight)))
        joined.setdefault(edge.destination, []).append((edge.source, abs(edge.weight)))
    for sweep in range(SWEEPS):
        places = centred()
        for row in list(orders) if sweep % 2 else reversed(orders):
            middle = {name: _middle(joined.get(name, ()), places, places[name]) for name in orders[row]}
            orders[row].sort(key=lambda name, middle=middle: middle[name])
            places |= {name: place for name, place in centred().items() if name in middle}
    return centred(), width


def _middle(joined: Sequence[tuple[str, float]], places: Mapping[str, float], own: float) -> float:
    total = sum(weight for _, weight in joined)
    return sum(places[name] * weight for name, weight in joined) / total if total else own


def _edge(
    edge: GraphEdge,
    places: Mapping[str, float],
    y: Mapping[str, float],
    span: int,
    width: float,
    strength: float,
) -> str:
    at = {"q": 0.22, "k": 0.5, "v": 0.78}.get(edge.port, 0.5)
    x0, y0 = places[edge.source] + BOX / 2, y[edge.source]
    x1, y1 = places[edge.destination] + BOX * at, y[edge.destination] + HEIGHT
    rise = (y0 - y1) * 0.45
    # A line over several rows bows outwards, past the boxes in between.
    centre = (LEFT + width) / 2
    bow = min(17.0 * max(span - 1, 0), 80.0) * (1 if x0 + x1 >= 2 * centre else -1)
    path = (
        f"M{x0:.1f} {y0:.1f}C{_within(x0 + bow, width):.1f} {y0 - rise:.1f} "
        f"{_within(x1 + bow, width):.1f} {y1 + rise:.1f} {x1:.1f} {y1:.1f}"
    )
    sign = "minus" if edge.weight < 0 else "plus"
    stroke = THIN + (THICK - THIN) * strength
    return (
        f'<g class="edge {sign}" data-from="{_text(edge.source)}" data-to="{_text(edge.destination)}">'
        f"<title>{_text(edge.note)}</title>"
        f'<path class="reach" d="{path}"/><path d="{path}" stroke-width="{stroke:.2f}"/></g>'
    )


def _within(x: float, width: float) -> float:
    return min(max(x, LEFT - 18.0), width - 2)


def _node(node: GraphNode, x: float, y: float, ports: Sequence[str], most: float) -> str:
    kind = "off" if node.off else "on"
    style = ""
    if node.weight is not None and not node.off:
        hue = "anomalous" if node.weight < 0 else "benign"
        share = round(12 + 58 * abs(node.weight) / most)
        style = f' style="fill: color-mix(in oklab, var(--{hue}) {share}%, var(--paper))"'
    middle = x + BOX / 2
    up = y + (13 if ports else HEIGHT / 2 + 4)
    marks = "".join(
        f'<text class="port" x="{x + BOX * at:.1f}" y="{y + HEIGHT - 5:.1f}">{port}</text>'
        for port, at in (("q", 0.22), ("k", 0.5), ("v", 0.78))
        if port in ports
    )
    return (
        f'<g class="node {kind}" data-node="{_text(node.name)}"><title>{_text(node.note or node.name)}</title>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{BOX}" height="{HEIGHT}" rx="4"{style}/>'
        f'<text x="{middle:.1f}" y="{up:.1f}">{_text(node.label)}</text>{marks}</g>'
    )


def _text(text: str) -> str:
    return escape(visible(text))

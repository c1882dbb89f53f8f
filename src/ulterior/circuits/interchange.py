"""Circuits to and from the JSON of the MIB benchmark's circuit track, which is EAP-IG's ``Graph.to_json``.

.. code-block:: json

    {"cfg": {"n_layers": 12, "n_heads": 12, "parallel_attn_mlp": false, "d_model": 768},
     "nodes": {"input": {"in_graph": true, "score": 0.1}, "a0.h1": {"in_graph": true}, "m0": {}, "logits": {}},
     "edges": {"input->a0.h1<q>": {"score": 0.3, "in_graph": true}, "a0.h1->m0": {}, "m0->logits": {}}}

(Source: hannamw/EAP-IG, ``src/eap/graph.py``.) ``input`` is ``embed`` here, ``a0.h1<q>`` is ``head.0.1.q``, ``m0`` is
``mlp.0``.

That format knows no shared keys and values: every query head has ``<k>`` and ``<v>`` of its own, which its evaluation
can exchange one by one. An edge into shared keys here is therefore one edge into each of the query heads that share
them there. A mask's value is written to all of them, and read as the largest of them. Scores, being first-order
effects, add up: each gets an equal part, and their sum is read.

Neither positions nor single neurons are written (MIB's neurons are coordinates of the stream). Its ``.pt`` files are
pickles, and are not read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ulterior.circuits.graph import ARROW, Graph, Units
from ulterior.circuits.mask import Mask, Scores
from ulterior.errors import InputError
from ulterior.files import writable_folder, write_whole

__all__ = ["read_mib_mask", "read_mib_scores", "write_mib"]


def write_mib(path: str | Path, width: int, scores: Scores | None = None, mask: Mask | None = None) -> None:
    """Write a circuit as MIB's JSON: scores (by which its evaluation cuts circuits of all sizes), a mask, or both.

    Args:
        path: The file.
        width: Of the model's stream, which the format names (``d_model``).
        scores: Over edges, or over nodes; without, a unit's score is its value in the mask.
        mask: What is in the circuit; without, nothing is, as in the files that MIB's evaluation is given.

    Raises:
        InputError: neither is given, or units that the format has no names for.
    """
    given: Scores | Mask | None = scores if scores is not None else mask
    if given is None:
        raise InputError("there is nothing to write: give scores, a mask, or both")
    for one in (scores, mask):
        if one is not None and (one.units.positions is not None or one.units.grain == "neurons"):
            raise InputError(
                f"'{one.name}' is over {one.units}; MIB's files hold edges or nodes, the same at all positions"
            )
    graph = given.graph
    if scores is not None and mask is not None and scores.graph != mask.graph:
        raise InputError(f"'{scores.name}' and '{mask.name}' are of models of different shapes")
    nothing = torch.zeros(Units("edges").shape(graph))
    scored = (given.values if given.units.grain == "edges" else nothing).tolist()
    kept = (nothing if mask is None else mask.edges().values).tolist()
    alone = torch.zeros(len(graph.sources)) if mask is None else _nodes_of(mask)
    edges = {
        theirs: {
            "score": scored[row][column] / (1 if isinstance(given, Mask) else share),
            "in_graph": kept[row][column] > 0,
        }
        for theirs, row, column, share in _edges(graph)
    }
    nodes: dict[str, dict[str, Any]] = {
        _node(name): {"in_graph": bool(alone[row] > 0)} for row, name in enumerate(graph.sources)
    }
    if given.units.grain == "nodes":
        for row, name in enumerate(graph.sources):
            nodes[_node(name)]["score"] = float(given.values[row])
    nodes["logits"] = {"in_graph": True}
    cfg = {
        "n_layers": graph.n_layers,
        "n_heads": graph.n_heads,
        "parallel_attn_mlp": graph.parallel,
        "d_model": width,
    }
    path = Path(path)
    writable_folder(path.parent)
    write_whole(path, json.dumps({"cfg": cfg, "nodes": nodes, "edges": edges}) + "\n")


def read_mib_mask(path: str | Path, graph: Graph, units: Units | None = None) -> Mask:
    """The circuit of a file: what is ``in_graph``; edges, unless nodes are asked for. What is not named is off.

    Raises:
        InputError: no such file, another format, or a circuit of a model of another shape.
    """
    return Mask(graph, units or Units("edges"), _values(path, graph, units, "in_graph"), Path(path).stem)


def read_mib_scores(path: str | Path, graph: Graph, units: Units | None = None) -> Scores:
    """The scores of a file, of edges unless nodes are asked for. What is not named is 0.

    Raises:
        InputError: as ``read_mib_mask``, and scores that are no numbers.
    """
    return Scores(graph, units or Units("edges"), _values(path, graph, units, "score"), Path(path).stem)


def _values(path: str | Path, graph: Graph, units: Units | None, key: str) -> Tensor:
    units = units or Units("edges")
    if units.positions is not None or units.grain == "neurons":
        raise InputError(f"MIB's files hold edges or nodes, the same at all positions, not {units}")
    held = _held(path, graph)
    values = torch.zeros(units.shape(graph))
    if units.grain == "nodes":
        rows = {_node(name): row for row, name in enumerate(graph.sources)}
        for name, entry in held["nodes"].items():
            if name != "logits":
                values[_known(path, rows, name, "node")] = _number(path, name, entry, key)
        return values
    places = {theirs: (row, column) for theirs, row, column, _ in _edges(graph)}
    for name, entry in held["edges"].items():
        place, value = _known(path, places, name, "edge"), _number(path, name, entry, key)
        values[place] = max(float(values[place]), value) if key == "in_graph" else values[place] + value
    return values


def _held(path: str | Path, graph: Graph) -> Mapping[str, Any]:
    """What the file holds, if it is of this model."""
    if Path(path).suffix in (".pt", ".pth"):
        raise InputError(f"'{path}' is a pickle, which could run code; write it with Graph.to_json instead")
    try:
        held = json.loads(Path(path).read_text())
        parts = [held[part] for part in ("cfg", "nodes", "edges")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{path}' is no circuit in MIB's format (JSON with cfg, nodes and edges): {type(error).__name__} {error}"
        ) from error
    if not all(isinstance(part, dict) for part in parts):
        raise InputError(f"'{path}' is no circuit in MIB's format: cfg, nodes and edges must be JSON objects")
    ours = {"n_layers": graph.n_layers, "n_heads": graph.n_heads, "parallel_attn_mlp": graph.parallel}
    theirs = {name: held["cfg"].get(name) for name in ours}
    if theirs != ours:
        raise InputError(f"'{path}' is a circuit of a model with {theirs}; this one has {ours}")
    return held


def _known(path: str | Path, places: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in places:
        raise InputError(
            f"'{path}': this model has no {what} '{name}'; one that it has: '{next(iter(places))}'"
        )
    return places[name]


def _number(path: str | Path, name: str, entry: Any, key: str) -> float:
    value = entry.get(key, 0) if isinstance(entry, dict) else None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(
            f"'{path}': the {key} of '{name}' is {entry}; expected {{\"{key}\": a finite number}}"
        )
    return float(value)


def _edges(graph: Graph) -> Iterator[tuple[str, int, int, int]]:
    """(their name, row, column, how many of their edges are this one of ours), in the order of our edges."""
    for column, (destination, n) in enumerate(zip(graph.destinations, graph.reads, strict=True)):
        names = _readers(graph, destination)
        for row, source in enumerate(graph.sources[:n]):
            for name in names:
                yield f"{_node(source)}{ARROW}{name}", row, column, len(names)


def _readers(graph: Graph, destination: str) -> list[str]:
    if not destination.startswith("head."):
        return [_node(destination)]
    part = destination.rsplit(".", 1)[1]
    return [f"{_node(name)}<{part}>" for name in graph.nodes_of(destination)]


def _node(name: str) -> str:
    kind, *numbers = name.split(".")
    return {"embed": "input", "logits": "logits"}.get(kind) or (
        "a{}.h{}" if kind == "head" else "m{}"
    ).format(*numbers)


def _nodes_of(mask: Mask) -> Tensor:
    """Which nodes their evaluation keeps: those of a mask of nodes; of edges, those with an edge in and one out."""
    if mask.units.grain == "nodes":
        return mask.values
    graph, on = mask.graph, mask.values > 0
    entered = {"embed"}
    for column, destination in enumerate(graph.destinations):
        if bool(on[:, column].any()):
            entered.update(graph.nodes_of(destination))
    inward = torch.tensor([name in entered for name in graph.sources])
    return (inward & on.any(1)).float()

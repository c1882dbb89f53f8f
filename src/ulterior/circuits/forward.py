"""The masked forward pass: each destination reads the kept part of each source, and the rest from an ablation.

Of edges, a destination v reads ``constant + sum_u [A_u + M_uv (a_u - A_u)]``, where ``a_u`` is what source u adds
in this very run, ``A_u`` what stands in for it, and the sum goes over the sources before v. With the edges of a
block side by side that is one matrix product, and queries, keys and values of every head get an input of their
own: no loop goes over edges.

Of nodes and neurons, everyone reads the same ``A_u + M_u (a_u - A_u)``, and the model's own stream carries it.

Both are differentiable in the mask, in the ablation and in the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ulterior.capture import first_argument, with_first_argument
from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.streams import Streams, Wired, constants, head_shares, neuron_values, run_model
from ulterior.circuits.wiring import BlockWiring, Projection, gain
from ulterior.errors import InputError
from ulterior.subject import Batch

__all__ = ["check_positions", "masked_run"]


def masked_run(
    wired: Wired,
    batch: Batch,
    values: Float[Tensor, "*shape"],
    units: Units,
    ablated: Streams,
    *,
    exchanged: Int[Tensor, "n u"] | None = None,
    grad: bool = False,
) -> Any:
    """Run the model with a mask.

    Args:
        wired: The model.
        batch: Clean examples.
        values: The mask, of ``units.shape(graph)``, or with an axis of examples in front: one mask an example.
        units: What it masks.
        ablated: What stands in for what is off.
        exchanged: For a mask of edges: for each example and source, the row of the batch whose value of that source
            everyone reads in its place, as computed in this very run.
        grad: Whether the run keeps a graph, so that the output can be differentiated.

    Returns:
        The model's output.

    Raises:
        InputError: a mask of another shape; a mask by position, and examples longer than it or padded on the left;
            sources exchanged under a mask of other units than edges.
    """
    values = _fitted(values, units, wired.graph, batch)
    if units.grain == "neurons" and ablated.neurons is None:
        raise InputError("a mask of neurons needs an ablation of neurons")
    if exchanged is not None and units.grain != "edges":
        raise InputError(
            "sources are exchanged between examples under a mask of edges only; see ``Mask.edges``"
        )
    edges = units.grain == "edges"
    run = _Edges(wired, values, ablated, exchanged) if edges else _Nodes(wired, values, units, ablated)
    with ExitStack() as hooks:
        for module, hook, before in run.hooks():
            register: Callable[..., Any] = (
                module.register_forward_pre_hook if before else module.register_forward_hook
            )
            hooks.callback(register(hook, with_kwargs=True).remove)
        return run_model(wired.subject, batch, grad=grad)


Hook = tuple[nn.Module, Callable[..., Any], bool]


class _Edges:
    """The state of one run with a mask of edges: what has been added to the stream so far."""

    def __init__(
        self, wired: Wired, values: Tensor, ablated: Streams, exchanged: Tensor | None = None
    ) -> None:
        self._wired, self._graph = wired, wired.graph
        self._values, self._ablated, self._exchanged = values, ablated.sources, exchanged
        self._changes: list[
            Tensor
        ] = []  # of each source in the order of the graph, how far it is from its ablation
        self._joined: Tensor | None = None
        self._known = 0
        self._base: Tensor | float = 0.0  # what is read where every edge is off
        self._bases: dict[int, Tensor | float] = {}  # ... by the number of sources

    def hooks(self) -> list[Hook]:
        wiring = self._wired.wiring
        hooks: list[Hook] = [(wiring.first, self._embedded, True)]
        for layer, block in enumerate(wiring.blocks):
            hooks += [(one.module, self._projected(layer, block, one), False) for one in block.projections]
            hooks.append((block.outward, self._attended(block), False))
            hooks.append((block.mlp, self._entered(layer, block), True))
            last = block.mlp_after if block.mlp_after is not None else block.mlp
            hooks.append((last, self._fed, False))
        return [*hooks, (wiring.final, self._last, True)]

    def _embedded(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        self._add(first_argument(args, kwargs)[:, :, None])

    def _projected(self, layer: int, block: BlockWiring, projection: Projection) -> Callable[..., Tensor]:
        columns = {part: self._graph.columns(layer, part) for part in projection.rows}

        def hook(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> Tensor:
            n = self._graph.rows(layer, "heads").start
            read = {part: block.norm(self._read(n, where)) for part, where in columns.items()}
            return project(projection, read)

        return hook

    def _attended(self, block: BlockWiring) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
            shares = head_shares(block, first_argument(args, kwargs), output, self._graph.n_heads)
            self._add(shares, constants(block))

        return hook

    def _entered(self, layer: int, block: BlockWiring) -> Callable[..., Any]:
        column = self._graph.columns(layer, "mlp")

        def hook(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            x = self._read(self._graph.reads[column.start], column)[:, :, 0]
            return with_first_argument(args, kwargs, block.mlp_norm(x))

        return hook

    def _fed(self, module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
        self._add(output[:, :, None])

    def _last(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        n = len(self._graph.destinations)
        return with_first_argument(
            args, kwargs, self._read(len(self._graph.sources), slice(n - 1, n))[:, :, 0]
        )

    def _add(self, shares: Float[Tensor, "n s g d"], constant: Tensor | float = 0.0) -> None:
        """More sources, and what their block adds besides."""
        self._bases[self._known] = self._base
        if self._exchanged is not None:
            rows = self._exchanged[:, None, self._known : self._known + shares.shape[2], None]
            shares = torch.take_along_dim(shares, rows, 0)
        instead = self._ablated[:, :, self._known : self._known + shares.shape[2]]
        self._changes.append(shares - instead)
        self._base = self._base + instead.sum(2) + constant
        self._known += shares.shape[2]
        self._bases[self._known] = self._base
        self._joined = None

    def _read(self, n: int, columns: slice) -> Float[Tensor, "n s c d"]:
        """The streams in front of some destinations that read the first n sources."""
        if self._joined is None or self._joined.shape[2] < n:
            self._joined = torch.cat(self._changes, 2)
        kept = self._values[..., :n, columns].transpose(-1, -2) @ self._joined[:, :, :n]
        base = self._bases[n]
        assert isinstance(base, Tensor)
        return kept + base[:, :, None]


class _Nodes:
    """One run with a mask of nodes or neurons: what each layer adds is replaced as it is added."""

    def __init__(self, wired: Wired, values: Tensor, units: Units, ablated: Streams) -> None:
        self._wired, self._graph = wired, wired.graph
        self._values, self._ablated, self._units = values, ablated, units
        self._replaced: Tensor | None = None

    def hooks(self) -> list[Hook]:
        wiring = self._wired.wiring
        hooks: list[Hook] = [(wiring.first, self._embedded, True)]
        for layer, block in enumerate(wiring.blocks):
            attended, fed = self._attended(layer, block), self._fed(layer)
            hooks.append((block.outward, attended, False))
            hooks.append((block.after if block.after is not None else block.outward, self._put, False))
            if self._units.grain == "neurons":
                hooks.append((block.down, self._fired(layer, block), False))
            last = block.mlp_after if block.mlp_after is not None else block.mlp
            hooks.append((last, fed if self._units.grain == "nodes" else self._put, False))
        return hooks

    def _embedded(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        given = first_argument(args, kwargs)[:, :, None]
        return with_first_argument(args, kwargs, self._blend(given, slice(0, 1), slice(0, 1)).sum(2))

    def _attended(self, layer: int, block: BlockWiring) -> Callable[..., None]:
        rows = self._graph.rows(layer, "heads")
        own = rows if self._units.grain == "nodes" else self._graph.neuron_rows(layer, "heads")

        def hook(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
            shares = head_shares(block, first_argument(args, kwargs), output, self._graph.n_heads)
            self._replaced = self._blend(shares, own, rows).sum(2) + constants(block)

        return hook

    def _put(self, module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> Tensor:
        replaced, self._replaced = self._replaced, None
        assert replaced is not None
        return replaced

    def _fed(self, layer: int) -> Callable[..., Tensor]:
        rows = self._graph.rows(layer, "mlp")

        def hook(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> Tensor:
            return self._blend(output[:, :, None], rows, rows).sum(2)

        return hook

    def _fired(self, layer: int, block: BlockWiring) -> Callable[..., None]:
        own = self._graph.neuron_rows(layer, "neurons")

        def hook(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
            assert self._ablated.neurons is not None
            fired = neuron_values(block, first_argument(args, kwargs), output)
            instead = self._ablated.neurons[:, :, layer]
            kept = instead + self._values[..., own] * (fired - instead)
            out = kept @ block.down_weight
            if block.mlp_after is not None:
                out = out * gain(block.mlp_after, output)[0]
            self._replaced = out if block.down_bias is None else out + block.down_bias

        return hook

    def _blend(self, shares: Float[Tensor, "n s g d"], own: slice, rows: slice) -> Float[Tensor, "n s g d"]:
        instead = self._ablated.sources[:, :, rows]
        return instead + self._values[..., own, None] * (shares - instead)


def project(
    projection: Projection, read: Mapping[str, Float[Tensor, "n s h d"]]
) -> Float[Tensor, "n s outputs"]:
    """What a projection gives when every head reads an input of its own.

    Args:
        projection: To queries, keys, values, or all three.
        read: For each part that it makes, the normed input of each head.
    """
    weight, bias = projection.weight, getattr(projection.module, "bias", None)
    made, where = [], []
    for part, rows in projection.rows.items():
        rows = rows.to(weight.device)
        made.append(torch.einsum("nshd,dhe->nshe", read[part], weight[:, rows]).flatten(2))
        where.append(rows.flatten())
    output = torch.cat(made, 2)[..., torch.argsort(torch.cat(where))]
    return output if bias is None else output + bias.detach()


def check_positions(positions: int, batch: Batch) -> None:
    """Whether units at so many positions fit some examples.

    Raises:
        InputError: examples that are longer, or padded on the left.
    """
    length = next(iter(batch.inputs.values())).shape[1]
    if length > positions:
        raise InputError(f"the mask knows {positions} positions, an example has {length}")
    if batch.mask is not None and not bool(batch.mask[:, 0].all()):
        raise InputError(
            "a mask by position needs examples padded on the right, so that the first token is at 0"
        )


def _fitted(values: Tensor, units: Units, graph: Graph, batch: Batch) -> Tensor:
    """The mask with axes that broadcast against ``[n, s]`` and units behind."""
    shape, length = units.shape(graph), next(iter(batch.inputs.values())).shape[1]
    given = tuple(values.shape)
    if given not in (shape, (len(batch), *shape)):
        raise InputError(
            f"a mask of shape {given} over {units.grain}; expected {shape}, or {len(batch)} of these, one an example"
        )
    if units.positions is not None:
        check_positions(units.positions, batch)
        axis = len(given) - len(shape)
        return values.narrow(axis, 0, length)
    return values if given == shape else values[:, None]

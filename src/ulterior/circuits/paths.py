"""One example's output as the exact sum over all paths from the embedding, or a bias, to the logits.

With attention's probabilities, the scales of norms and the gates of feed-forward layers held at what they are on the
example, every node of the graph (a head, a feed-forward layer) is an affine map of the stream in front of it: the
``relevance_rules`` say how each part is held (an activation function multiplies by its output over its input, a product
of gate and value passes half to each). The stream in front of the logits is then exactly

    sum over paths (u -> n1 -> ... -> nm) of J_nm ... J_n1 b_u

where J_n is the map of node n, and b_u is the embedding or the constant of a node (what it adds for an input of zero:
biases). Paths are summed over positions. The map that leads from the stream to the output, the last norm with its
scale held and the unembedding, turns each path into one number.

All paths together are one triangular solve over the graph, from the logits down (``path_sums``). The largest come from
dynamic programming over the same order (``top_paths``): every node keeps the ends of paths that begin with it, each
with its gradient in front of the node. There are exponentially many, so that each node keeps the ``beam``
ends through which most passes; what that loses, and all paths that are not listed, is the residual, which is known
exactly.

It covers all families of ``ulterior.circuits`` whose parts have rules. Where the output is not affine in the stream
(softcapped logits, a metric that is none of logits' sums) the difference stands with the constant of ``logits``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ulterior.capture import first_argument
from ulterior.circuits.finding.attribution import measured
from ulterior.circuits.finding.reads import adds, replacing
from ulterior.circuits.finding.relevance import relevance_rules
from ulterior.circuits.graph import ARROW
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import PairBatch
from ulterior.circuits.streams import Wired, run_model
from ulterior.circuits.wiring import gain
from ulterior.errors import InputError
from ulterior.readouts import last_logits

__all__ = ["Frozen", "Path", "PathSums", "TopPaths", "freeze", "path_sums", "top_paths"]


@dataclass(frozen=True)
class Path:
    """One path.

    Attributes:
        start: ``embed``, or ``bias``: the constant of the first node.
        nodes: Heads and feed-forward layers in order, then ``logits``; ``attn.N``, first, has the bias of the
            attention's output projection, which belongs to no head.
        contribution: To the output.
    """

    start: str
    nodes: tuple[str, ...]
    contribution: float

    def __str__(self) -> str:
        return ARROW.join((self.start, *self.nodes))


@dataclass(frozen=True, eq=False)
class PathSums:
    """All paths, added up by where they begin.

    Attributes:
        value: The output.
        embed: Paths from the embedding, by the position at which they begin ``[s]``.
        bias: Paths from each node's constant; that of ``logits`` is what the output is for a stream of zeros.
    """

    value: float
    embed: Float[Tensor, "s"]
    bias: Mapping[str, float]

    @property
    def total(self) -> float:
        """The sum over all paths, which is the output."""
        return float(self.embed.sum()) + sum(self.bias.values())


@dataclass(frozen=True)
class TopPaths:
    """The largest paths.

    Attributes:
        paths: By the size of their contribution, the largest first.
        value: The output.
        residual: The output minus the contributions of these paths.
        complete: Whether every path was looked at; if not, a path that was cut may be larger than one that is listed.
    """

    paths: tuple[Path, ...]
    value: float
    residual: float
    complete: bool


@dataclass(eq=False)
class Frozen:
    """One example's run, in which every node is an affine map.

    Attributes:
        wired: The model.
        value: The output.
        slope: Its gradient in the stream in front of the logits ``[s, d]``.
        constant: The output for a stream of zeros there.
        embed: What enters the first block ``[s, d]``.
        fronts: The stream that each node reads, by layer and part ``[1, s, d]``, in the run's graph.
        heads: What enters each attention's output projection ``[1, s, h * w]``, in the graph.
        ends: What each part adds to the stream ``[1, s, d]``, in the graph.
    """

    wired: Wired
    value: float
    slope: Float[Tensor, "s d"]
    constant: float
    embed: Float[Tensor, "s d"]
    fronts: dict[tuple[int, str], Tensor]
    heads: dict[int, Tensor]
    ends: dict[tuple[int, str], Tensor]

    def added(self, layer: int, head: int | None) -> Float[Tensor, "s d"]:
        """What a head, or the feed-forward layer (None), adds to the stream."""
        if head is None:
            return self.ends[layer, "mlp"].detach()[0]
        return self._through_heads(layer, self._own(self.heads[layer].detach(), head))

    def projection_bias(self, layer: int) -> Float[Tensor, "s d"]:
        """What the attention adds whatever its heads do."""
        bias = self.wired.wiring.blocks[layer].outward_bias
        return torch.zeros_like(self.embed) if bias is None else bias.expand_as(self.embed)

    def back(
        self, layer: int, head: int | None, slope: Float[Tensor, "s d"], *, every: bool = False
    ) -> Float[Tensor, "s d"]:
        """The gradient in front of a node, from that behind it.

        Args:
            layer: The node's.
            head: The head; None: the feed-forward layer.
            slope: Behind it.
            every: Whether all heads of the layer count together.
        """
        if head is None:
            return self._gradient(self.ends[layer, "mlp"], self.fronts[layer, "mlp"], slope[None])
        inner = self._gradient(self.ends[layer, "heads"], self.heads[layer], slope[None])[None]
        return self._gradient(
            self.heads[layer], self.fronts[layer, "heads"], inner if every else self._own(inner, head)
        )

    def _gradient(self, end: Tensor, front: Tensor, slope: Tensor) -> Tensor:
        (found,) = torch.autograd.grad(end, front, slope, retain_graph=True, allow_unused=True)
        return torch.zeros_like(front)[0] if found is None else found[0]

    def _through_heads(self, layer: int, z: Tensor) -> Tensor:
        block, end = self.wired.wiring.blocks[layer], self.ends[layer, "heads"].detach()
        share = z @ block.outward_weight
        if block.after is None:
            return share[0]
        whole = self.heads[layer].detach() @ block.outward_weight
        channels, places = gain(block.after, whole)
        return (share * channels * places)[0].to(end.dtype)

    def _own(self, z: Tensor, head: int) -> Tensor:
        width = z.shape[-1] // self.wired.graph.n_heads
        own = torch.zeros_like(z)
        own[..., head * width : (head + 1) * width] = z[..., head * width : (head + 1) * width]
        return own


def freeze(wired: Wired, pairs: PairBatch, metric: Metric) -> Frozen:
    """Run one example with all that is not linear held fixed.

    Args:
        wired: The model.
        pairs: One pair, of which the clean example runs.
        metric: The output; a sum of logits is affine in the stream, unless the model caps its logits.

    Raises:
        InputError: several pairs, a metric without a gradient, or a model with parts for which there is no rule.
    """
    if len(pairs) != 1:
        raise InputError(f"paths are those of one example; here are {len(pairs)}")
    fronts: dict[tuple[int, str], Tensor] = {}
    heads: dict[int, Tensor] = {}
    ends: dict[tuple[int, str], Tensor] = {}
    outer: dict[str, Tensor] = {}
    with ExitStack() as hooks:

        def keep(module: nn.Module, where: dict, key: object) -> None:
            def entered(module: nn.Module, args: tuple, kwargs: dict) -> None:
                where[key] = first_argument(args, kwargs)

            hooks.callback(module.register_forward_pre_hook(entered, with_kwargs=True).remove)

        def keep_end(module: nn.Module, key: tuple[int, str]) -> None:
            def left(module: nn.Module, args: tuple, output: Tensor) -> None:
                ends[key] = output

            hooks.callback(module.register_forward_hook(left).remove)

        hooks.enter_context(replacing(wired))
        hooks.enter_context(relevance_rules(wired))
        keep(wired.wiring.first, outer, "embed")
        keep(wired.wiring.final, outer, "final")
        for layer, block in enumerate(wired.wiring.blocks):
            # A family without a norm in front reads the stream with the projection itself.
            values = next(one for one in block.projections if "v" in one.rows)
            keep(
                values.module if isinstance(block.norm, nn.Identity) else block.norm, fronts, (layer, "heads")
            )
            keep(
                block.mlp if isinstance(block.mlp_norm, nn.Identity) else block.mlp_norm,
                fronts,
                (layer, "mlp"),
            )
            keep(block.outward, heads, layer)
            keep_end(adds(block, "heads"), (layer, "heads"))
            keep_end(adds(block, "mlp"), (layer, "mlp"))
        output = run_model(wired.subject, pairs.clean, grad=True)
    with torch.enable_grad():
        value = measured(metric, output, pairs, last_logits(output, pairs.clean).detach())
    (slope,) = torch.autograd.grad(value.sum(), outer["final"], retain_graph=True)
    number, front = float(value.detach()), outer["final"].detach()
    return Frozen(
        wired,
        number,
        slope[0],
        number - float((front * slope).sum()),
        outer["embed"].detach()[0],
        fronts,
        heads,
        ends,
    )


def path_sums(frozen: Frozen) -> PathSums:
    """The sum over all paths, by where they begin: one solve from the logits down to the embedding."""
    graph, slope = frozen.wired.graph, frozen.slope
    bias = {"logits": frozen.constant}
    for layer in reversed(range(graph.n_layers)):
        through = frozen.back(layer, None, slope)
        bias[f"mlp.{layer}"] = _constant(frozen, layer, None, slope, through)
        behind = slope if graph.parallel else slope + through
        bias[f"attn.{layer}"] = _dot(frozen.projection_bias(layer), behind)
        for head in range(graph.n_heads):
            own = frozen.back(layer, head, behind)
            bias[f"head.{layer}.{head}"] = _constant(frozen, layer, head, behind, own)
        slope = slope + through + frozen.back(layer, 0, behind, every=True)
    return PathSums(frozen.value, (frozen.embed * slope).sum(1), bias)


def top_paths(frozen: Frozen, k: int = 20, *, beam: int = 256) -> TopPaths:
    """The ``k`` paths with the largest contributions, by size.

    Args:
        frozen: The example.
        k: How many.
        beam: Ends of paths that each node keeps: those with the largest sum, over positions, of the sizes of what the
            node brings to them. Where no node has more, all paths are compared and the result is exact.

    Raises:
        InputError: no path is asked for, or no end is kept.
    """
    if k < 1 or beam < 1:
        raise InputError(f"the top {k} paths with {beam} ends a node; ask for one or more of each")
    graph = frozen.wired.graph
    found = [Path("bias", ("logits",), frozen.constant)]
    names: list[tuple[str, ...]] = [("logits",)]
    slopes = frozen.slope[None]  # of each end, in the stream
    complete = True

    def extend(layer: int, head: int | None) -> tuple[list[tuple[str, ...]], list[Tensor]]:
        nonlocal complete
        name = f"mlp.{layer}" if head is None else f"head.{layer}.{head}"
        added = frozen.added(layer, head)
        passing = torch.einsum("sd,msd->ms", added, slopes).abs().sum(1)
        kept = torch.sort(passing, descending=True, stable=True).indices[:beam].tolist()
        complete = complete and len(kept) == len(names)
        ends = [(name, *names[number]) for number in kept]
        through = [frozen.back(layer, head, slopes[number]) for number in kept]
        for end, number, own in zip(ends, kept, through, strict=True):
            found.append(Path("bias", end, _constant(frozen, layer, head, slopes[number], own)))
        return ends, through

    for layer in reversed(range(graph.n_layers)):
        fed = extend(layer, None)
        if not graph.parallel:
            names, slopes = [*names, *fed[0]], torch.cat([slopes, torch.stack(fed[1])])
        constants = torch.einsum("sd,msd->m", frozen.projection_bias(layer), slopes).tolist()
        if frozen.wired.wiring.blocks[layer].outward_bias is not None:
            found += [
                Path("bias", (f"attn.{layer}", *end), value)
                for end, value in zip(names, constants, strict=True)
            ]
        read = [extend(layer, head) for head in range(graph.n_heads)]
        more = [*read, fed] if graph.parallel else read
        names = [*names, *(end for ends, _ in more for end in ends)]
        slopes = torch.cat([slopes, *(torch.stack(through) for _, through in more)])
        found = _largest(found, k)
    embedded = torch.einsum("sd,msd->m", frozen.embed, slopes).tolist()
    found += [Path("embed", end, value) for end, value in zip(names, embedded, strict=True)]
    paths = tuple(_largest(found, k))
    return TopPaths(paths, frozen.value, frozen.value - sum(one.contribution for one in paths), complete)


def _largest(paths: list[Path], k: int) -> list[Path]:
    return sorted(paths, key=lambda path: -abs(path.contribution))[:k]


def _constant(frozen: Frozen, layer: int, head: int | None, behind: Tensor, through: Tensor) -> float:
    """What a node adds for an input of zero, along the gradient behind it: what it adds, less what its input brings."""
    front = frozen.fronts[layer, "mlp" if head is None else "heads"].detach()[0]
    return _dot(frozen.added(layer, head), behind) - _dot(front, through)


def _dot(x: Tensor, y: Tensor) -> float:
    return float((x * y).sum())

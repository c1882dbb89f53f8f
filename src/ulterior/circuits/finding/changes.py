"""How far every source is from what stands in for it, kept as small as a run leaves it.

Of a layer's heads only what enters the output projection is kept, which is as wide as the stream and not ``heads``
times as wide; the heads' shares are made for a few tokens at a time, where they are needed (``Change.write``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ulterior.capture import first_argument
from ulterior.circuits.ablations import Ablation, Resample, Zero
from ulterior.circuits.pairs import PairBatch
from ulterior.circuits.streams import Streams, Wired, neuron_values, run_model
from ulterior.circuits.wiring import BlockWiring, gain

__all__ = ["Added", "Change", "adding", "behind", "change_of"]


@dataclass(eq=False)
class Added:
    """What the layers add to the stream in one run.

    Attributes:
        embed: What enters the first block, ``[n, s, d]``.
        heads: Of each block, the heads side by side as they enter the output projection, times what a norm behind it
            multiplies the place by, ``[n, s, h * w]``.
        mlps: Of each block, what the feed-forward layer adds, ``[n, s, d]``.
        neurons: Of each block, its neurons (``streams.neuron_values``), ``[n, s, k]``; empty where not asked for.
    """

    embed: Tensor | None = None
    heads: list[Tensor] = field(default_factory=list)
    mlps: list[Tensor] = field(default_factory=list)
    neurons: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Change:
    """Of every source, what it adds minus what stands in for it.

    Attributes:
        added: What is added, or is added more than in another run.
        minus: What else is to be taken off; None: nothing.
    """

    added: Added
    minus: Streams | None = None

    def write(
        self, wired: Wired, to: Float[Tensor, "g n s d"], rows: slice, examples: slice, positions: slice
    ) -> None:
        """The change of some sources in a row at some tokens of some examples.

        Args:
            wired: The model.
            to: Where it is written.
            rows: The sources; of a layer's heads all or none.
            examples: Which examples.
            positions: Which of their tokens.
        """
        graph, here = wired.graph, (examples, positions)
        assert self.added.embed is not None
        if rows.start == 0:
            to[0] = self.added.embed[here]
        tokens = to.view(len(to), -1, to.shape[-1])
        for layer, block in enumerate(wired.wiring.blocks):
            heads, mlp = graph.rows(layer, "heads"), graph.rows(layer, "mlp").start
            if rows.start <= heads.start < rows.stop:
                z = self.added.heads[layer][here].flatten(0, 1).to(to.dtype)
                weight = behind(block).to(to.dtype).view(graph.n_heads, -1, to.shape[-1])
                own = tokens[heads.start - rows.start : heads.stop - rows.start]
                torch.bmm(z.unflatten(1, (graph.n_heads, -1)).transpose(0, 1), weight, out=own)
            if rows.start <= mlp < rows.stop:
                to[mlp - rows.start] = self.added.mlps[layer][here]
        if self.minus is not None:
            to -= _some(self.minus.sources[:, :, rows], examples, positions).permute(2, 0, 1, 3)

    def total(self, wired: Wired, layer: int | None = None, part: str = "heads") -> Float[Tensor, "n s d"]:
        """The change of all that one layer adds; of the embedding where the layer is None."""
        if layer is None:
            assert self.added.embed is not None
            whole, rows = self.added.embed, slice(0, 1)
        elif part == "heads":
            whole, rows = (
                self.added.heads[layer] @ behind(wired.wiring.blocks[layer]),
                wired.graph.rows(layer, "heads"),
            )
        else:
            whole, rows = self.added.mlps[layer], wired.graph.rows(layer, "mlp")
        return whole if self.minus is None else whole - self.minus.sources[:, :, rows].sum(2)


def behind(block: BlockWiring) -> Float[Tensor, "hw d"]:
    """The output projection of a block's heads, with what a norm behind it multiplies the channels by."""
    weight = block.outward_weight
    return weight if block.after is None else weight * _channels(block.after, weight)


def change_of(
    wired: Wired, pairs: PairBatch, clean: Added, ablation: Ablation, *, neurons: bool = False
) -> Change:
    """How far a run on the clean examples is from its ablation.

    Args:
        wired: The model.
        pairs: The examples.
        clean: What was added on the clean ones.
        ablation: What stands in for a source.
        neurons: Whether neurons are wanted, too.
    """
    if isinstance(ablation, Zero):
        return Change(clean)
    if not isinstance(ablation, Resample):
        return Change(clean, ablation(wired, pairs, neurons=neurons).detach())
    # The paired run is subtracted before heads are told apart.
    with adding(wired, neurons=neurons) as other:
        run_model(wired.subject, pairs.corrupted)
    assert clean.embed is not None
    assert other.embed is not None
    less = [
        [one - two for one, two in zip(mine, theirs, strict=True)]
        for mine, theirs in (
            (clean.heads, other.heads),
            (clean.mlps, other.mlps),
            (clean.neurons, other.neurons),
        )
    ]
    return Change(Added(clean.embed - other.embed, *less))


@contextmanager
def adding(wired: Wired, *, neurons: bool = False) -> Iterator[Added]:
    """What the layers add in the run inside the ``with`` block, cut from its graph."""
    added = Added()

    def embedded(module: nn.Module, args: tuple, kwargs: dict) -> None:
        added.embed = first_argument(args, kwargs).detach()

    def fed(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
        added.mlps.append(output.detach())

    with ExitStack() as hooks:
        hooks.callback(wired.wiring.first.register_forward_pre_hook(embedded, with_kwargs=True).remove)
        for block in wired.wiring.blocks:
            hooks.callback(
                block.outward.register_forward_hook(_attended(block, added), with_kwargs=True).remove
            )
            last = block.mlp_after if block.mlp_after is not None else block.mlp
            hooks.callback(last.register_forward_hook(fed, with_kwargs=True).remove)
            if neurons:
                hooks.callback(
                    block.down.register_forward_hook(_fired(block, added), with_kwargs=True).remove
                )
        yield added


def _attended(block: BlockWiring, added: Added) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
        z = first_argument(args, kwargs).detach()
        added.heads.append(z if block.after is None else z * gain(block.after, output.detach())[1])

    return hook


def _fired(block: BlockWiring, added: Added) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
        added.neurons.append(neuron_values(block, first_argument(args, kwargs).detach(), output.detach()))

    return hook


def _channels(norm: nn.Module, like: Tensor) -> Float[Tensor, "d"]:
    return gain(norm, torch.ones(1, like.shape[-1], dtype=like.dtype, device=like.device))[0]


def _some(values: Tensor, examples: slice, positions: slice) -> Tensor:
    """A part of streams whose axes of size 1 hold for all examples or positions."""
    values = values if len(values) == 1 else values[examples]
    return values if values.shape[1] == 1 else values[:, positions]

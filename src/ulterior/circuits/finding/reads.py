"""Where a run's gradients are taken: behind projections, in front of what reads the stream, behind what adds to it.

These hooks change nothing: they keep tensors that the run has anyway, or pass on another view of them, so that the
gradient of one reader can be told from that of another. They work around any forward pass that keeps a graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ulterior.capture import first_argument, with_first_argument
from ulterior.circuits.graph import Grain
from ulterior.circuits.streams import Wired
from ulterior.circuits.wiring import BlockWiring

__all__ = ["Gradients", "Place", "Reads", "adds", "reading", "replacing"]

# ("projection", layer, number), ("mlp", layer, 0), ("logits", 0, 0): what reads; ("embed", 0, 0), ("heads", layer, 0),
# ("fed", layer, 0): what adds.
Place = tuple[str, int, int]
Gradients = dict[Place, Tensor]


@dataclass(eq=False)
class Reads:
    """What one run leaves.

    Attributes:
        tensors: By place, ``[n, s, outputs]`` of projections and ``[n, s, d]`` of the others.
        fronts: What stands in front of each norm, by ``("heads", layer)`` and ``("mlp", layer)``, ``[n, s, d]``.
    """

    tensors: dict[Place, Tensor] = field(default_factory=dict)
    fronts: dict[tuple[str, int], Tensor] = field(default_factory=dict)

    def gradients(self, value: Tensor) -> Gradients:
        """The gradients of a number at all places that it depends on, by one backward pass, which frees the graph."""
        known = {place: tensor for place, tensor in self.tensors.items() if tensor.requires_grad}
        found = torch.autograd.grad(value, list(known.values()), allow_unused=True)
        self.tensors.clear()
        return {place: one for place, one in zip(known, found, strict=True) if one is not None}


@contextmanager
def reading(wired: Wired, grain: Grain) -> Iterator[Reads]:
    """Keep where gradients are taken in the run inside the ``with`` block: at readers for edges, else at what adds."""
    reads = Reads()
    with ExitStack() as hooks:

        def before(module: nn.Module, hook: Any) -> None:
            hooks.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)

        def after(module: nn.Module, place: Place) -> None:
            hooks.callback(module.register_forward_hook(_output(reads, place)).remove)

        wiring = wired.wiring
        if grain == "edges":
            for layer, block in enumerate(wiring.blocks):
                before(block.norm, _front(reads, ("heads", layer)))
                before(block.mlp_norm, _front(reads, ("mlp", layer)))
                for number, projection in enumerate(block.projections):
                    after(projection.module, ("projection", layer, number))
                before(block.mlp, _input(reads, ("mlp", layer, 0)))
            before(wiring.final, _input(reads, ("logits", 0, 0)))
        else:
            before(wiring.first, _input(reads, ("embed", 0, 0)))
            for layer, block in enumerate(wiring.blocks):
                after(adds(block, "heads"), ("heads", layer, 0))
                after(adds(block, "mlp"), ("fed", layer, 0))
        yield reads


def adds(block: BlockWiring, part: str) -> nn.Module:
    """The module whose output a block's ``heads``, or its ``mlp``, add to the stream."""
    if part == "heads":
        return block.after if block.after is not None else block.outward
    return block.mlp_after if block.mlp_after is not None else block.mlp


@contextmanager
def replacing(
    wired: Wired, layer: int | None = None, part: str = "heads", shift: Tensor | None = None
) -> Iterator[None]:
    """In the run inside the ``with`` block a layer adds so much more, and the graph begins there.

    Enter this before ``reading``, which then sees what is added.

    Args:
        wired: The model.
        layer: Whose ``part`` adds more; None: the embedding.
        part: ``heads`` or ``mlp``.
        shift: How much more, ``[n, s, d]``; None: nothing.
    """

    def moved(value: Tensor) -> Tensor:
        value = value.detach() if shift is None else value.detach() + shift
        return value.requires_grad_()

    def entered(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        return with_first_argument(args, kwargs, moved(first_argument(args, kwargs)))

    def left(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        return moved(output)

    if layer is None:
        hook = wired.wiring.first.register_forward_pre_hook(entered, with_kwargs=True)
    else:
        hook = adds(wired.wiring.blocks[layer], part).register_forward_hook(left)
    try:
        yield
    finally:
        hook.remove()


def _front(reads: Reads, key: tuple[str, int]) -> Any:
    def hook(module: nn.Module, args: tuple, kwargs: dict) -> None:
        reads.fronts[key] = first_argument(args, kwargs).detach()

    return hook


def _output(reads: Reads, place: Place) -> Any:
    def hook(module: nn.Module, args: tuple, output: Tensor) -> None:
        reads.tensors[place] = output

    return hook


def _input(reads: Reads, place: Place) -> Any:
    def hook(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        # A view of its own: others may read the same tensor, and their gradients are not meant.
        given = first_argument(args, kwargs)
        reads.tensors[place] = given.view_as(given)
        return with_first_argument(args, kwargs, reads.tensors[place])

    return hook

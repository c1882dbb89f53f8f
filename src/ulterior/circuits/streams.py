"""What every source adds to the stream: recorded in a plain forward pass, by hooks that change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ulterior.capture import first_argument
from ulterior.circuits.graph import Graph, graph_of
from ulterior.circuits.wiring import BlockWiring, Wiring, find_wiring, gain
from ulterior.freezing import frozen
from ulterior.subject import Batch, Subject

__all__ = [
    "Streams",
    "Wired",
    "constants",
    "head_shares",
    "neuron_values",
    "record",
    "recording",
    "run_model",
    "wire",
]


@dataclass(frozen=True, eq=False)
class Wired:
    """A subject whose model's wiring is known.

    Attributes:
        subject: The subject.
        wiring: Its modules.
        graph: Its units.
    """

    subject: Subject
    wiring: Wiring
    graph: Graph


def wire(subject: Subject) -> Wired:
    """Find the wiring of a subject's model.

    Raises:
        InputError: the model is no decoder of a supported family; see ``find_wiring``.
    """
    wiring = find_wiring(subject.model)
    return Wired(subject, wiring, graph_of(wiring))


@dataclass(frozen=True, eq=False)
class Streams:
    """What sources add to the stream in some run, or stand for them: axes of size 1 hold for all examples or positions.

    Attributes:
        sources: Of every source, in the model's width.
        neurons: Of every block's neurons, what enters the last projection of the feed-forward layer, times what a
            norm behind it multiplies the example's place by; None where neurons were not asked for.
    """

    sources: Float[Tensor, "n s u d"]
    neurons: Float[Tensor, "n s l k"] | None = None

    def detach(self) -> Streams:
        """The same, cut from the graph that it was computed in."""
        return Streams(self.sources.detach(), None if self.neurons is None else self.neurons.detach())


def run_model(subject: Subject, batch: Batch, *, grad: bool = False) -> Any:
    """One forward pass whose tensors may be used in a graph later; ``grad``: it keeps one, but of no parameter."""
    with frozen(subject.model), torch.set_grad_enabled(grad):
        return subject.model(**batch.inputs, **subject.options)


def record(wired: Wired, batch: Batch, *, neurons: bool = False, grad: bool = False) -> tuple[Streams, Any]:
    """Run the model as it is, and keep what every source adds.

    The stream in front of each destination is what these add up to, and ``constants`` (a test holds this to it).

    Args:
        wired: The model.
        batch: Examples.
        neurons: Whether the neurons are kept, too.
        grad: Whether the run keeps a graph.

    Returns:
        The streams and the model's output.
    """
    with recording(wired, neurons=neurons) as recorded:
        output = run_model(wired.subject, batch, grad=grad)
    return recorded(), output


@contextmanager
def recording(wired: Wired, *, neurons: bool = False) -> Iterator[Callable[[], Streams]]:
    """Inside the ``with`` block, one run of the model is recorded; the function that is given returns its streams.

    A run under a mask of edges may be recorded, too: what its sources give, whatever others then read of it.
    """
    sources: list[Tensor] = []
    values: list[Tensor] = []

    def embedded(module: nn.Module, args: tuple, kwargs: dict) -> None:
        sources.append(first_argument(args, kwargs)[:, :, None])

    with ExitStack() as hooks:
        hooks.callback(wired.wiring.first.register_forward_pre_hook(embedded, with_kwargs=True).remove)
        for block in wired.wiring.blocks:
            hooks.enter_context(_reading(block, wired.wiring.n_heads, sources, values if neurons else None))
        yield lambda: Streams(torch.cat(sources, 2), torch.stack(values, 2) if neurons else None)


@contextmanager
def _reading(
    block: BlockWiring, n_heads: int, sources: list[Tensor], values: list[Tensor] | None
) -> Iterator[None]:
    def attended(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
        sources.append(head_shares(block, first_argument(args, kwargs), output, n_heads))

    def fed(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
        sources.append(output[:, :, None])

    def fired(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
        assert values is not None
        values.append(neuron_values(block, first_argument(args, kwargs), output))

    with ExitStack() as hooks:
        hooks.callback(block.outward.register_forward_hook(attended, with_kwargs=True).remove)
        last = block.mlp_after if block.mlp_after is not None else block.mlp
        hooks.callback(last.register_forward_hook(fed, with_kwargs=True).remove)
        if values is not None:
            hooks.callback(block.down.register_forward_hook(fired, with_kwargs=True).remove)
        yield


def placed(values: Tensor, wired: Wired) -> Tensor:
    """Values, such as a mask's, in the model's own number format, where the model is."""
    like = next(wired.subject.model.parameters())
    return values.to(like.device, like.dtype)


def head_shares(
    block: BlockWiring, z: Float[Tensor, "n s hw"], attended: Float[Tensor, "n s d"], n_heads: int
) -> Float[Tensor, "n s h d"]:
    """What each head adds to the stream: its part of the output projection, times what a norm behind makes of the sum.

    Args:
        block: The block.
        z: What enters its output projection.
        attended: What leaves it.
        n_heads: Query heads.
    """
    weight = block.outward_weight.view(n_heads, -1, attended.shape[-1])
    shares = torch.einsum("nshw,hwd->nshd", z.unflatten(-1, (n_heads, -1)), weight)
    if block.after is None:
        return shares
    channels, places = gain(block.after, attended)
    return shares * (channels * places)[:, :, None]


def neuron_values(
    block: BlockWiring, fired: Float[Tensor, "n s k"], output: Float[Tensor, "n s d"]
) -> Float[Tensor, "n s k"]:
    """The neurons, in the scale in which the last projection's rows add up to what arrives in the stream."""
    if block.mlp_after is None:
        return fired
    return fired * gain(block.mlp_after, output)[1]


def constants(block: BlockWiring) -> Tensor | float:
    """What a block adds to the stream whatever its sources do, ``[d]``: the bias of attention's output projection."""
    return 0.0 if block.outward_bias is None else block.outward_bias

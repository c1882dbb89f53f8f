"""Gradients of a subject's outputs at captured sites: one forward that keeps its graph, one backward an output.

An output is one of the subject's readouts, by its name, or a ``Target``: numbers made of what was captured on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ulterior.architectures import find_anatomy
from ulterior.capture import Captured, first_argument
from ulterior.errors import InputError
from ulterior.freezing import frozen
from ulterior.subject import Batch, Subject

__all__ = ["GradientError", "Gradients", "Output", "Target", "backward", "graph_from_inputs"]


@runtime_checkable
class Target(Protocol):
    """Numbers of a forward pass that are none of the subject's readouts, such as a probe's; hashable."""

    def columns(self, captured: Captured, batch: Batch) -> Tensor:
        """The numbers ``[n]`` or ``[n, k]``, as a differentiable function of activations that are captured."""
        ...


Output = str | Target


class GradientError(InputError):
    """What could not be differentiated.

    Attributes:
        output: The output without a gradient, or None where it is the site.
        site: The site without a gradient, or None where it is the output.
    """

    def __init__(self, problem: str, *, output: Output | None = None, site: str | None = None) -> None:
        self.output, self.site = output, site
        super().__init__(problem)


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of some outputs' columns at some sites, for one batch; see ``backward``.

    Attributes:
        captured: The activations at the sites, cut from the graph.
        stored: For each output, and each of its columns, the gradient by site, shaped as ``captured.stored`` of that
            site; the heads of a layer share one tensor.
    """

    captured: Captured
    stored: Mapping[Output, tuple[Mapping[str, Tensor], ...]]

    def width(self, output: Output) -> int:
        """How many columns an output has."""
        return len(self.stored[output])

    def pair(self, output: Output, column: int, site: str) -> tuple[Tensor, Tensor]:
        """(activation, gradient) at a site, both ``[n, ..., d]``.

        Of a head, these are its own columns of what enters the attention's output projection, and the gradient
        there: their product is exactly the product of the head's share of the output and the gradient at the output,
        ``z_h . (W_h dS/da) = (z_h W_h) . dS/da``, without that share ever being made.
        """
        block = self.captured.block(site)
        return self.captured.stored(site)[..., block], self.stored[output][column][site][..., block]


@contextmanager
def graph_from_inputs(model: nn.Module, batch: Batch) -> Iterator[Batch]:
    """Forward passes inside the ``with`` block, run on the batch that it gives, keep a graph of the activations alone.

    The graph begins at the embeddings of a known transformer, at the numbers that any other model is given. The
    parameters are frozen meanwhile, so that none of them gets a gradient or is copied for one, and then have the flags
    that they had before.
    """
    with ExitStack() as stack:
        stack.enter_context(frozen(model))
        anatomy = find_anatomy(model)
        if anatomy is None:
            yield replace(batch, inputs={name: _root(value) for name, value in batch.inputs.items()})
            return
        hook = anatomy.blocks[0].register_forward_pre_hook(_begin, with_kwargs=True, prepend=True)
        stack.callback(hook.remove)
        yield batch


def backward(
    subject: Subject,
    batch: Batch,
    output: Any,
    captured: Captured,
    outputs: Sequence[Output],
    sites: Sequence[str],
) -> Gradients:
    """One backward pass for each column of the outputs; afterwards the graph is gone.

    Examples do not see each other, so the gradient of a column's sum over the batch is each example's own gradient.
    A site on which an output does not depend has gradient zero.

    Raises:
        GradientError: a readout that the subject does not have, an output that does not depend smoothly on the
            activations, a site that is cut from the graph, or an operation without a derivative.
    """
    columns = [
        (name, column) for name in outputs for column in _columns(subject, name, output, batch, captured)
    ]
    # Heads of one layer share a tensor: it is differentiated once.
    tensors = {id(tensor): tensor for tensor in (_stored(captured, site) for site in sites)}
    found: dict[Output, list[dict[str, Tensor]]] = {name: [] for name in outputs}
    for number, (name, column) in enumerate(columns):
        if not column.requires_grad:
            raise GradientError(
                f"{_called(name)} has no gradient: it does not depend on any activation smoothly", output=name
            )
        try:
            gradients = torch.autograd.grad(
                column.sum(),
                list(tensors.values()),
                retain_graph=number + 1 < len(columns),
                allow_unused=True,
                materialize_grads=True,
            )
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise GradientError(
                f"{_called(name)} cannot be differentiated: {str(error).splitlines()[0]}", output=name
            ) from error
        by_tensor = dict(zip(tensors, gradients, strict=True))
        found[name].append({site: by_tensor[id(captured.stored(site))] for site in sites})
    captured.detach()
    return Gradients(captured, {name: tuple(each) for name, each in found.items()})


def _columns(
    subject: Subject, name: Output, output: Any, batch: Batch, captured: Captured
) -> tuple[Tensor, ...]:
    if not isinstance(name, str):
        values = name.columns(captured, batch)
    elif name in subject.readouts:
        values = subject.readouts[name](output, batch)
    else:
        raise GradientError(
            f"this subject has no readout '{name}'; it has: {', '.join(subject.readouts)}", output=name
        )
    return values.reshape(len(values), -1).unbind(1)


def _stored(captured: Captured, site: str) -> Tensor:
    try:
        tensor = captured.stored(site)
    except InputError as error:
        raise GradientError(str(error), site=site) from None
    if not tensor.requires_grad:
        raise GradientError(
            f"site '{site}' has no gradient: it comes before the embeddings, or is cut from the graph",
            site=site,
        )
    return tensor


def _called(name: Output) -> str:
    return f"the readout '{name}'" if isinstance(name, str) else f"the {type(name).__name__.lower()}"


def _begin(module: nn.Module, args: tuple, kwargs: dict) -> None:
    first = first_argument(args, kwargs)
    if not first.requires_grad:
        first.requires_grad_()


def _root(value: Tensor) -> Tensor:
    return value.detach().requires_grad_() if value.is_floating_point() else value

"""All edges of every example, by one forward and one backward pass a column, which the features of a read share."""

from __future__ import annotations

from contextlib import ExitStack
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.circuits.finding.changes import Added, Change, adding
from ulterior.circuits.finding.contraction import attributions
from ulterior.circuits.finding.reads import reading, replacing
from ulterior.circuits.graph import Units
from ulterior.circuits.streams import Streams, Wired, placed, run_model, wire
from ulterior.errors import InputError
from ulterior.features.feature import Run

__all__ = ["columns_of", "edge_table", "flat_edges", "token_sums"]


def edge_table(run: Run, of: str, means: Float[Tensor, "u d"] | None = None) -> Float[Tensor, "n k u v"]:
    """The attributions of all edges to each column of an output, by an own forward and k backward passes.

    Args:
        run: A run of the subject; the table is computed once for it, whoever asks.
        of: The readout.
        means: What stands in for each source; None: nothing.

    Raises:
        InputError: no decoder of a known family, or a readout that is missing or has no gradient.
    """
    return _read_edges(run, of, means)[0]


def flat_edges(run: Run, of: str) -> Float[Tensor, "n k e"]:
    """The attributions in the order of ``Graph.edges``."""
    exists = wire(run.subject).graph.valid.T
    table = edge_table(run, of)
    return table.transpose(2, 3)[:, :, exists.to(table.device)]


# What the features of one read share: it goes when the run does.
_tables: WeakKeyDictionary[Run, dict[tuple[str, Tensor | None], tuple[Tensor, Added]]] = WeakKeyDictionary()


def _read_edges(run: Run, of: str, means: Tensor | None = None) -> tuple[Float[Tensor, "n k u v"], Added]:
    # Tensors are told apart as objects here, and one that is a key stays alive.
    known, key = _tables.setdefault(run, {}), (of, means)
    if key not in known:
        known[key] = _computed(wire(run.subject), run, of, means)
    return known[key]


def _computed(wired: Wired, run: Run, of: str, means: Tensor | None) -> tuple[Tensor, Added]:
    minus = None if means is None else Streams(placed(means[None, None], wired))
    with torch.inference_mode(False), torch.enable_grad(), ExitStack() as hooks:
        hooks.enter_context(replacing(wired))
        reads = hooks.enter_context(reading(wired, "edges"))
        added = hooks.enter_context(adding(wired))
        columns = columns_of(run, of, run_model(wired.subject, run.batch, grad=True)).unbind(1)
        totals = [column.sum() for column in columns]
    if not totals[0].requires_grad:
        raise InputError(f"the readout '{of}' has no gradient: it does not depend on any activation smoothly")
    known = {place: tensor for place, tensor in reads.tensors.items() if tensor.requires_grad}
    tables = []
    for number, total in enumerate(totals):
        more = number + 1 < len(totals)
        found = torch.autograd.grad(total, list(known.values()), retain_graph=more, allow_unused=True)
        gradients = {place: one for place, one in zip(known, found, strict=True) if one is not None}
        tables.append(attributions(wired, Change(added, minus), reads, gradients, Units("edges")))
    return torch.stack(tables, 1), added


def columns_of(run: Run, of: str, output: object) -> Float[Tensor, "n k"]:
    """A readout of some output of the model.

    Raises:
        InputError: the subject has no such readout.
    """
    readouts = run.subject.readouts
    if of not in readouts:
        raise InputError(f"this subject has no readout '{of}'; it has: {', '.join(readouts)}")
    values = readouts[of](output, run.batch)
    return values.reshape(len(values), -1)


def token_sums(run: Run, of: str) -> tuple[Float[Tensor, "n ud"], Float[Tensor, "n 1"]]:
    """What each source adds, summed over an example's tokens, and their number."""
    wired, added = wire(run.subject), _read_edges(run, of)[1]
    embed, mask = added.embed, run.batch.mask
    assert embed is not None
    weight = torch.ones(embed.shape[:2], device=embed.device) if mask is None else mask.to(embed.device)
    weight = weight.to(embed.dtype)[:, :, None]

    def total(x: Tensor) -> Tensor:
        return (x * weight).sum(1, keepdim=True)

    # A head's share is linear in what enters the output projection, so that sums may be taken before it.
    summed = Added(total(embed), [total(one) for one in added.heads], [total(one) for one in added.mlps])
    to = torch.empty(
        len(wired.graph.sources), len(embed), 1, embed.shape[-1], dtype=embed.dtype, device=embed.device
    )
    Change(summed).write(wired, to, slice(0, len(to)), slice(None), slice(None))
    return to[:, :, 0].transpose(0, 1).flatten(1), weight.sum(1)

"""Attribution patching: the effect of keeping each unit to first order, all units from one backward pass.

Of an edge from u to v that is ``(a_u - A_u) . dm/d(input of v)``: how far the source is from its ablation, times the
gradient of the metric on the clean run (Syed, Rager and Conmy 2023, EAP). It is exactly the derivative of the masked
forward in the edge's mask at the whole model, and a test holds it to that. The published sign is that of
removing the edge; here it is that of keeping it. Of nodes and neurons it is the same with the gradient of all readers
together (Nanda 2023).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.circuits.ablations import Ablation, Resample, ablation_of
from ulterior.circuits.finding.changes import adding, change_of
from ulterior.circuits.finding.contraction import attributions
from ulterior.circuits.finding.reads import reading, replacing
from ulterior.circuits.finding.runs import finite
from ulterior.circuits.forward import check_positions
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import Mask, Scores
from ulterior.circuits.metrics import Metric, kl
from ulterior.circuits.pairs import PairBatch, Pairs
from ulterior.circuits.streams import Wired, run_model, wire
from ulterior.errors import InputError
from ulterior.readouts import last_logits
from ulterior.subject import Subject

__all__ = [
    "EdgeAttribution",
    "Reduce",
    "edge_scores",
    "measured",
    "reference_of",
    "refuse_flat",
    "scored",
    "unit_scores",
]

Reduce = Literal["signed", "absolute"]


@dataclass(frozen=True)
class EdgeAttribution:
    """Attribution patching of edges (EAP), nodes or neurons.

    Attributes:
        ablation: What stands in for a unit: a name (``ABLATIONS``) or an ablation. Resampling is published.
        reduce: ``signed``: the mean over examples, as published, in which examples of opposite sign cancel;
            ``absolute``: the mean of each example's size.
        tokens: Tokens a batch, padding included.
        name: As the command and tables call it.
    """

    ablation: str | Ablation = "resample"
    reduce: Reduce = "signed"
    tokens: int = 1024
    name: str = "eap"

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Scores:
        """Scores; by position, a unit's at each position of its readers.

        Raises:
            InputError: a model that has no circuits, a metric without a gradient, scores that are all 0, or
                positions that do not fit the pairs.
        """
        refuse_flat(metric, self.name)
        wired = wire(subject)
        ablation = ablation_of(
            self.ablation, wired, pairs, neurons=units.grain == "neurons", tokens=self.tokens
        )
        return scored(
            wired,
            pairs,
            units,
            lambda batch: unit_scores(wired, batch, units, metric, ablation),
            name=self.name,
            reduce=self.reduce,
            tokens=self.tokens,
        )


def edge_scores(
    wired: Wired,
    pairs: PairBatch,
    metric: Metric,
    ablation: Ablation | None = None,
    *,
    only: Mask | None = None,
) -> Float[Tensor, "n *edges"]:
    """The attributions of all edges for each example, from one forward and one backward pass.

    Args:
        wired: The model.
        pairs: Examples. An ablation that is a constant reads the clean ones alone.
        metric: One number an example, differentiable in the output.
        ablation: What stands in for a source; None: the paired example's (one more forward pass).
        only: The edges that are wanted; None: all.

    Returns:
        ``[n, u, v]``; with ``only`` ``[n, k]``, in the order of its ``kept``.
    """
    values = unit_scores(wired, pairs, Units("edges"), metric, ablation or Resample())
    if only is None:
        return values
    if (only.graph, only.units) != (wired.graph, Units("edges")):
        raise InputError(
            f"'{only.name}' is over {only.units} of {only.graph}, not over the edges of this model"
        )
    return values[:, (only.values > 0).to(values.device)]


def unit_scores(
    wired: Wired,
    pairs: PairBatch,
    units: Units,
    metric: Metric,
    ablation: Ablation,
    *,
    rules: Callable[[Wired], Any] | None = None,
) -> Float[Tensor, "n *shape"]:
    """The attributions of units for each example; by position, for as many positions as the examples have.

    Args:
        wired: The model.
        pairs: Examples.
        units: Whose attributions.
        metric: One number an example, differentiable in the output.
        ablation: What stands in for a unit.
        rules: A context in which the backward pass follows other rules, with norms of fixed scale (RelP); None:
            gradients.

    Raises:
        InputError: a metric without a gradient.
    """
    neurons = units.grain == "neurons"
    with ExitStack() as hooks:
        hooks.enter_context(replacing(wired))
        reads = hooks.enter_context(reading(wired, units.grain))
        added = hooks.enter_context(adding(wired, neurons=neurons))
        if rules is not None:
            hooks.enter_context(rules(wired))
        output = run_model(wired.subject, pairs.clean, grad=True)
    gradients = reads.gradients(measured(metric, output, pairs, reference_of(output, pairs)).sum())
    del output
    change = change_of(wired, pairs, added, ablation, neurons=neurons)
    return attributions(wired, change, reads, gradients, units, fixed=rules is not None)


def reference_of(output: Any, pairs: PairBatch) -> Tensor | None:
    """What the whole model says, for metrics that compare with it; None where its output has no logits."""
    return last_logits(output, pairs.clean).detach() if getattr(output, "logits", None) is not None else None


def measured(metric: Metric, output: Any, pairs: PairBatch, reference: Tensor | None) -> Float[Tensor, "n"]:
    """A metric's values, which can be differentiated.

    Raises:
        InputError: the metric has no gradient, or is not one number an example.
        RowError: the pairs on which it is NaN or infinite.
    """
    values = metric(output, pairs, reference)
    if values.shape != (len(pairs),):
        raise InputError(
            f"a metric gives one number an example, [{len(pairs)}]; this one gives {list(values.shape)}"
        )
    if not values.requires_grad:
        raise InputError(
            "this metric has no gradient in the model's output; take one that has, such as the logit difference, or a"
            " method that patches"
        )
    return finite(values, pairs)


def refuse_flat(metric: Metric, name: str) -> None:
    """Methods of the gradient on the clean run alone learn nothing from a metric that is at its optimum there.

    Raises:
        InputError: the divergence from the model's own output.
    """
    if metric is kl:
        raise InputError(
            f"the divergence from the whole model is 0, and flat, in the clean run, where {name} takes its gradient;"
            " take the logit difference, or integrate gradients (eap_ig_inputs)"
        )


def scored(
    wired: Wired,
    pairs: Pairs,
    units: Units,
    of: Callable[[PairBatch], Tensor],
    *,
    name: str,
    reduce: Reduce,
    tokens: int,
) -> Scores:
    """Scores from those of each example in each batch.

    Raises:
        InputError: scores that are all 0, or positions that do not fit the pairs.
    """
    half = next(
        (p.dtype for p in wired.subject.model.parameters() if p.dtype in (torch.float16, torch.bfloat16)),
        None,
    )
    if half is not None:
        warnings.warn(
            f"the model runs in {half}: its gradients are rounded to that, though they are summed in float32; load"
            " it in float32 for exact scores",
            stacklevel=3,
        )
    total = torch.zeros(units.shape(wired.graph), dtype=torch.float64)
    for batch in pairs.batches(wired.subject, tokens):
        if units.positions is not None:
            check_positions(units.positions, batch.clean)
        values = of(batch)
        summed = (values.abs() if reduce == "absolute" else values).double().sum(0).cpu()
        if units.positions is None:
            total += summed
        else:
            total[: len(summed)] += summed
    if not bool(total.any()):
        raise InputError(
            f"all scores of {name} are 0: the metric's gradient is 0 wherever it was taken, or no unit differs from"
            " its ablation (are the corrupted examples the clean ones?)"
        )
    return Scores(wired.graph, units, (total / len(pairs)).float(), name)

"""Integrated gradients of edges, nodes, neurons: gradients averaged on the way from the ablation to the clean run.

``eap_ig_inputs`` (Hanna, Pezzelle and Belinkov 2024, "Have faith in faithfulness"): the embedding goes from its
ablation to what it is, and gradients are taken in the runs on the way. What the embedding is given adds up to the whole
change of the metric, in the limit of many steps.

``eap_ig_activations`` (Marks et al. 2024, and the MIB benchmark): one layer's heads, one feed-forward layer or the
embedding goes that way while all before it stays as it is, and the units of that layer get the gradients of those runs.
They add up to what ablating that layer does. The public code averages every edge's gradient over the runs of all
layers instead (``pooled``): those that have nothing to do with it, and those that hold what it would act through.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.circuits.ablations import Ablation, ablation_of
from ulterior.circuits.finding.attribution import Reduce, measured, reference_of, scored
from ulterior.circuits.finding.changes import Change, adding, change_of
from ulterior.circuits.finding.contraction import attributions
from ulterior.circuits.finding.reads import reading, replacing
from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.mask import Scores
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import PairBatch, Pairs
from ulterior.circuits.streams import Wired, run_model, wire
from ulterior.errors import InputError
from ulterior.subject import Subject

__all__ = ["IntegratedActivations", "IntegratedInputs", "Rule", "activation_scores", "input_scores"]

Rule = Literal["middle", "left", "right"]


@dataclass(frozen=True)
class IntegratedInputs:
    """EAP-IG over inputs.

    Attributes:
        steps: Runs with a gradient, each of the way's length over ``steps``.
        rule: Where in each step: its ``middle``, whose error falls with the square of the steps; its ``left``, the
            ablation's side, as in the public code.
        ablation: What stands in for a unit, and where the way of the embedding begins.
        reduce: How examples are put together (``EdgeAttribution``).
        tokens: Tokens a batch, padding included.
        name: As the command and tables call it.
    """

    steps: int = 5
    rule: Rule = "middle"
    ablation: str | Ablation = "resample"
    reduce: Reduce = "signed"
    tokens: int = 1024
    name: str = "eap_ig_inputs"

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Scores:
        """Scores; by position, a unit's at each position of its readers.

        Raises:
            InputError: as ``EdgeAttribution``, or no steps.
        """
        wired = wire(subject)
        ablation = ablation_of(
            self.ablation, wired, pairs, neurons=units.grain == "neurons", tokens=self.tokens
        )
        way = tuple(_points(self.steps, self.rule))

        def of(batch: PairBatch) -> Tensor:
            return input_scores(wired, batch, units, metric, ablation, way)

        return scored(wired, pairs, units, of, name=self.name, reduce=self.reduce, tokens=self.tokens)


@dataclass(frozen=True)
class IntegratedActivations:
    """EAP-IG over activations; takes ``steps`` runs for each layer's heads and each feed-forward layer.

    Attributes:
        steps: Runs for each of these.
        rule: Where in each step (``IntegratedInputs``); the public code takes the ``right``, the clean side.
        pooled: Whether every edge gets the mean gradient of the runs of all layers, as in the public code.
        ablation: What stands in for a unit, and where each way begins.
        reduce: How examples are put together (``EdgeAttribution``).
        tokens: Tokens a batch, padding included.
        name: As the command and tables call it.
    """

    steps: int = 5
    rule: Rule = "middle"
    pooled: bool = False
    ablation: str | Ablation = "resample"
    reduce: Reduce = "signed"
    tokens: int = 1024
    name: str = "eap_ig_activations"

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Scores:
        """Scores; by position, a unit's at each position of its readers.

        Raises:
            InputError: as ``EdgeAttribution``, or no steps.
        """
        wired = wire(subject)
        ablation = ablation_of(
            self.ablation, wired, pairs, neurons=units.grain == "neurons", tokens=self.tokens
        )
        way = tuple(_points(self.steps, self.rule))

        def of(batch: PairBatch) -> Tensor:
            return activation_scores(wired, batch, units, metric, ablation, way, pooled=self.pooled)

        return scored(wired, pairs, units, of, name=self.name, reduce=self.reduce, tokens=self.tokens)


def input_scores(
    wired: Wired,
    pairs: PairBatch,
    units: Units,
    metric: Metric,
    ablation: Ablation,
    way: tuple[float, ...],
) -> Float[Tensor, "n *shape"]:
    """Each example's attributions with the gradient averaged over embeddings.

    Args:
        wired: The model.
        pairs: Examples.
        units: Whose attributions.
        metric: One number an example, differentiable in the output.
        ablation: What stands in for a unit.
        way: Which share of the way from the ablation each run has gone.
    """
    change, reference = _begun(wired, pairs, units, ablation)
    missing = change.total(wired)
    total: Tensor | float = 0.0
    for gone in way:
        with replacing(wired, shift=(gone - 1) * missing), reading(wired, units.grain) as reads:
            output = run_model(wired.subject, pairs.clean, grad=True)
        gradients = reads.gradients(measured(metric, output, pairs, reference).sum())
        del output
        total = total + attributions(wired, change, reads, gradients, units) / len(way)
    assert isinstance(total, Tensor)
    return total


def activation_scores(
    wired: Wired,
    pairs: PairBatch,
    units: Units,
    metric: Metric,
    ablation: Ablation,
    way: tuple[float, ...],
    *,
    pooled: bool = False,
) -> Float[Tensor, "n *shape"]:
    """Each example's attributions with the gradient averaged over what the unit's own layer adds.

    Args:
        wired: The model.
        pairs: Examples.
        units: Whose attributions.
        metric: One number an example, differentiable in the output.
        ablation: What stands in for a unit.
        way: Which share of the way from the ablation each run has gone.
        pooled: Whether the gradients of all layers' runs are averaged.
    """
    change, reference = _begun(wired, pairs, units, ablation)
    layers = [
        (None, "heads"),
        *((layer, part) for layer in range(wired.graph.n_layers) for part in ("heads", "mlp")),
    ]
    total: Tensor | float = 0.0
    for layer, part in layers:
        missing = change.total(wired, layer, part)
        rows = _rows(wired.graph, units, layer, part)
        for gone in way:
            with ExitStack() as hooks:
                if pooled and layer is not None:
                    hooks.enter_context(replacing(wired))
                hooks.enter_context(replacing(wired, layer, part, (gone - 1) * missing))
                reads = hooks.enter_context(reading(wired, units.grain))
                output = run_model(wired.subject, pairs.clean, grad=True)
            gradients = reads.gradients(measured(metric, output, pairs, reference).sum())
            del output
            of_edges = units.grain == "edges" and not pooled
            values = attributions(wired, change, reads, gradients, units, rows=rows if of_edges else None)
            if pooled:
                total = total + values / (len(way) * len(layers))
                continue
            own = torch.zeros(values.shape[-1 if units.grain != "edges" else -2], device=values.device)
            own[rows] = 1.0 / len(way)
            total = total + values * (own[:, None] if units.grain == "edges" else own).to(values.dtype)
    assert isinstance(total, Tensor)
    return total


def _begun(wired: Wired, pairs: PairBatch, units: Units, ablation: Ablation) -> tuple[Change, Tensor | None]:
    """What changes, and what the whole model says."""
    neurons = units.grain == "neurons"
    with adding(wired, neurons=neurons) as added:
        output = run_model(wired.subject, pairs.clean)
    return change_of(wired, pairs, added, ablation, neurons=neurons), reference_of(output, pairs)


def _rows(graph: Graph, units: Units, layer: int | None, part: str) -> slice:
    """The units that are sources in one layer."""
    if layer is None:
        return slice(0, 1)
    if units.grain == "neurons":
        return graph.neuron_rows(layer, "heads" if part == "heads" else "neurons")
    return graph.rows(layer, "heads" if part == "heads" else "mlp")


def _points(steps: int, rule: Rule) -> Iterator[float]:
    if steps < 1:
        raise InputError(f"{steps} steps; integrating gradients takes at least one")
    offset = {"left": 0.0, "middle": 0.5, "right": 1.0}[rule]
    return ((step + offset) / steps for step in range(steps))

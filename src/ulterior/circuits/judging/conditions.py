"""On what, and by which measure, circuits are judged; and what a circuit gives there for each example."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ulterior.circuits.ablations import Ablation, ablation_of
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import Mask, full_mask
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import PairBatch, Pairs
from ulterior.circuits.streams import Streams, Wired, placed, run_model, wire
from ulterior.errors import InputError
from ulterior.readouts import last_logits
from ulterior.subject import RowError, Subject

__all__ = ["Conditions", "Ends", "Prepared", "conditions", "ends", "run_masks", "run_whole"]


@dataclass(frozen=True, eq=False)
class Conditions:
    """What all circuits under one judgement share.

    Attributes:
        wired: The model.
        pairs: Held-out pairs, in whose order every array of figures stands.
        metric: What the circuit is to reproduce.
        ablation: What stands in for what is off.
        tokens: Size of a batch.
        progress: Whether long work shows a bar.
    """

    wired: Wired
    pairs: Pairs
    metric: Metric
    ablation: Ablation
    tokens: int = 1024
    progress: bool = False

    def on(self, pairs: Pairs) -> Conditions:
        """The same on other pairs."""
        return replace(self, pairs=pairs)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A batch with what every run on it needs.

    Attributes:
        pairs: The pairs.
        ablated: What stands in for what is off.
        output: What the whole model gives on the clean examples.
        reference: Its logits after the last token, ``[n, vocab]``.
    """

    pairs: PairBatch
    ablated: Streams
    output: Any
    reference: Tensor


@dataclass(frozen=True, eq=False)
class Ends:
    """The metric of the whole model and of the empty circuit: what faithfulness is measured between.

    Attributes:
        whole: m(M) for each pair.
        empty: m(empty), everything ablated, for each pair.
    """

    whole: Float[np.ndarray, "n"]
    empty: Float[np.ndarray, "n"]


def conditions(
    subject: Subject,
    pairs: Pairs,
    metric: Metric,
    ablated: Ablation | str = "resample",
    *,
    means_of: Pairs | None = None,
    neurons: bool = False,
    tokens: int = 1024,
    progress: bool = False,
) -> Conditions:
    """Conditions for a subject.

    Args:
        subject: The model.
        pairs: Held-out pairs.
        metric: What the circuit is to reproduce.
        ablated: An ablation or its name (``ulterior.circuits.ablations.ABLATIONS``).
        means_of: Pairs whose means stand in, for an ablation named ``mean``; the held-out ones if not given.
        neurons: Whether masks of neurons will be judged.
        tokens: Size of a batch.
        progress: Whether long work shows a bar.

    Raises:
        InputError: no pairs, a model that has no circuits, an unknown ablation.
    """
    if not len(pairs):
        raise InputError("there are no held-out pairs to judge a circuit on; at least one is needed")
    wired = wire(subject)
    ablation = ablation_of(ablated, wired, means_of or pairs, neurons=neurons, tokens=tokens)
    return Conditions(wired, pairs, metric, ablation, tokens, progress)


def prepared(given: Conditions, *, neurons: bool) -> Iterator[Prepared]:
    """The batches, one at a time, so that the streams of only one are kept."""
    for pairs in given.pairs.batches(given.wired.subject, given.tokens):
        output = run_model(given.wired.subject, pairs.clean)
        ablated = given.ablation(given.wired, pairs, neurons=neurons)
        yield Prepared(pairs, ablated, output, last_logits(output, pairs.clean))


def run_masks(
    given: Conditions, masks: Sequence[Mask], metrics: Sequence[Metric] | None = None, *, about: str = "judge"
) -> Float[np.ndarray, "k m n"]:
    """Metrics of the model under each mask, for each pair; every batch is prepared once for all masks.

    Args:
        given: The conditions.
        masks: Over the same units, all of this model.
        metrics: Several metrics; the conditions' own if not given.
        about: Name of the bar.

    Returns:
        ``[metrics, masks, pairs]``, float64.

    Raises:
        InputError: a metric that is not finite (the pair is named), masks of another model or of several grains.
    """
    metrics = metrics or (given.metric,)
    values = np.zeros((len(metrics), len(masks), len(given.pairs)))
    if not masks:
        return values
    units = _units(given, masks)
    with tqdm(
        total=len(masks) * len(given.pairs),
        desc=about,
        unit="run",
        leave=False,
        disable=None if given.progress else True,
    ) as bar:
        for batch in prepared(given, neurons=units.grain == "neurons"):
            for number, mask in enumerate(masks):
                on = placed(mask.values, given.wired)
                output = masked_run(given.wired, batch.pairs.clean, on, units, batch.ablated)
                values[:, number, batch.pairs.rows] = _read(output, batch, metrics)
                bar.update(len(batch.pairs))
    return _finite(values, given)


def run_whole(given: Conditions, metrics: Sequence[Metric] | None = None) -> Float[np.ndarray, "k n"]:
    """Metrics of the model itself, for each pair."""
    metrics = metrics or (given.metric,)
    values = np.zeros((len(metrics), 1, len(given.pairs)))
    for pairs in given.pairs.batches(given.wired.subject, given.tokens):
        output = run_model(given.wired.subject, pairs.clean)
        batch = Prepared(pairs, _NOTHING, output, last_logits(output, pairs.clean))
        values[:, 0, pairs.rows] = _read(output, batch, metrics)
    return _finite(values, given)[:, 0]


def ends(given: Conditions, units: Units) -> Ends:
    """The two ends of the scale."""
    empty = full_mask(given.wired.graph, units, 0.0)
    return Ends(run_whole(given)[0], run_masks(given, [empty])[0, 0])


def names_of(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """What the metrics are called."""
    return tuple(getattr(metric, "__name__", type(metric).__name__) for metric in metrics)


def _read(output: Any, batch: Prepared, metrics: Sequence[Metric]) -> Float[np.ndarray, "k n"]:
    with torch.no_grad():
        read = [metric(output, batch.pairs, batch.reference) for metric in metrics]
    return np.stack([one.double().cpu().numpy() for one in read])


def _units(given: Conditions, masks: Sequence[Mask]) -> Units:
    grains = {mask.units for mask in masks}
    if len(grains) > 1:
        raise InputError(f"masks of several grains cannot be judged together: {grains}")
    strange = next((mask for mask in masks if mask.graph != given.wired.graph), None)
    if strange is not None:
        raise InputError(
            f"the mask '{strange.name}' is of another model: {strange.graph}, not {given.wired.graph}"
        )
    return masks[0].units


def _finite(values: np.ndarray, given: Conditions) -> np.ndarray:
    wrong = ~np.isfinite(values).all((0, 1))
    if wrong.any():
        raise RowError(
            np.flatnonzero(wrong).tolist(), "the metric is NaN or infinite on these held-out pairs"
        )
    return values


_NOTHING = Streams(torch.zeros(1, 1, 0, 0))

"""Causal scrubbing: if a hypothesis is right, all that it calls irrelevant may be resampled and the behaviour stays.

Chan et al. (2022), "Causal scrubbing: a method for rigorously testing interpretability hypotheses". A hypothesis names
the edges that matter, and for each source among which inputs it may be exchanged, since it is said to compute the same
for them. Then, from the embedding upwards,

- along an edge that does not matter, a random example's value is read;
- along one that does, the source's value *as computed in the scrubbed run* of an example that the hypothesis calls
  equivalent for that source; the inputs of that value were scrubbed in the same way.

One value is drawn for each source and example, and all who read it read the same (the original draws anew for each
path).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.circuits.forward import masked_run
from ulterior.circuits.judging.faithfulness import ratio_of_means
from ulterior.circuits.mask import Mask, full_mask
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import Pairs
from ulterior.circuits.streams import Streams, Wired, placed, record, wire
from ulterior.errors import InputError
from ulterior.metrics import Estimate
from ulterior.readouts import last_logits
from ulterior.serialise import saved
from ulterior.subject import Subject

__all__ = ["Hypothesis", "Scrubbed", "scrub"]


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """What is said to do the behaviour.

    Attributes:
        circuit: The edges that matter; of nodes, those that they imply.
        exchange: For a source (``embed``, ``head.0.1``, ``mlp.2``), the class of each pair's clean example: its value
            may be exchanged among examples of one class. A source that is not named is not exchanged.
    """

    circuit: Mask
    exchange: Mapping[str, Sequence[Hashable]] = field(default_factory=dict)


@saved
@dataclass(frozen=True, eq=False)
class Scrubbed:
    """What is left of a behaviour under a hypothesis.

    Attributes:
        whole: The metric of the model itself on each clean example.
        scrubbed: The metric of the scrubbed model, for each draw.
        resampled: The metric with every activation resampled, for each draw.
        recovered: (scrubbed - resampled) / (whole - resampled), as a ratio of means: 1 if nothing was lost.
        error: Mean of |scrubbed - whole| over that of |whole - resampled|; errors of single examples do not cancel.
    """

    whole: Float[np.ndarray, "n"]
    scrubbed: Float[np.ndarray, "r n"]
    resampled: Float[np.ndarray, "r n"]
    recovered: Estimate
    error: Estimate


def scrub(
    hypothesis: Hypothesis,
    subject: Subject,
    pairs: Pairs,
    metric: Metric,
    *,
    draws: int = 8,
    together: bool = False,
    tokens: int = 4096,
    seed: int = 0,
) -> Scrubbed:
    """Scrub a hypothesis over the clean examples of some pairs.

    Args:
        hypothesis: What matters.
        subject: The model.
        pairs: The examples. Activations are exchanged among those of one length only, whose positions correspond.
        metric: What is measured; each example's by its own answers.
        draws: How often everything is drawn anew.
        together: Whether all that is irrelevant to an example comes from one random example, so that what irrelevant
            activations tell about one another is kept; else each source's from one of its own.
        tokens: Size of a batch; values are exchanged within a batch, which is put together anew for each draw.
        seed: Of the draws.

    Raises:
        InputError: a source that is not in the model, classes that are not one a pair, neurons, a mask by position.
    """
    wired = wire(subject)
    mask = hypothesis.circuit.edges()
    if mask.graph != wired.graph:
        raise InputError(f"the hypothesis is about another model: {mask.graph}, not {wired.graph}")
    if mask.units.positions is not None:
        raise InputError(
            "a hypothesis by position is not scrubbed here; give edges or nodes for all positions"
        )
    classes = _classes(hypothesis, wired, len(pairs))
    empty = full_mask(mask.graph, mask.units, 0.0)
    generator = np.random.default_rng(seed)
    whole = np.zeros(len(pairs))
    values = np.zeros((2, draws, len(pairs)))
    for draw in range(draws):
        for rows in _batches(pairs, tokens, generator):
            (batch,) = pairs.take(rows).batches(subject, tokens=10**9)
            streams, output = record(wired, batch.clean)
            reference = last_logits(output, batch.clean)
            exchanged = torch.from_numpy(_exchanged(classes[:, rows], generator)).to(streams.sources.device)
            ablated = _resampled(streams, generator, together)
            with torch.no_grad():
                whole[rows] = metric(output, batch, reference).double().cpu().numpy()
                for number, (one, how) in enumerate(((mask, exchanged), (empty, None))):
                    run = masked_run(
                        wired, batch.clean, placed(one.values, wired), one.units, ablated, exchanged=how
                    )
                    values[number, draw, rows] = metric(run, batch, reference).double().cpu().numpy()
    scrubbed, resampled = values
    gap = whole - resampled.mean(0)
    return Scrubbed(
        whole,
        scrubbed,
        resampled,
        ratio_of_means(scrubbed.mean(0) - resampled.mean(0), gap, seed),
        ratio_of_means(np.abs(scrubbed - whole).mean(0), np.abs(whole - resampled).mean(0), seed),
    )


def _classes(hypothesis: Hypothesis, wired: Wired, n: int) -> Int[np.ndarray, "u n"]:
    """Numbers of the classes; of a source that is not exchanged, each example is one."""
    classes = np.tile(np.arange(n), (len(wired.graph.sources), 1))
    for source, given in hypothesis.exchange.items():
        row = wired.graph.source(source)
        if len(given) != n:
            raise InputError(
                f"the classes of '{source}' are {len(given)}; give one for each of the {n} pairs"
            )
        known: dict[Hashable, int] = {}
        classes[row] = [known.setdefault(one, len(known)) for one in given]
    return classes


def _batches(pairs: Pairs, tokens: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Rows of one length, in a random order, at most so many tokens together."""
    lengths = np.array([one.length for one in pairs.clean])
    found: list[np.ndarray] = []
    for length in np.unique(lengths):
        rows = generator.permutation(np.flatnonzero(lengths == length))
        n = max(1, tokens // int(length))
        found += [rows[start : start + n] for start in range(0, len(rows), n)]
    return found


def _exchanged(classes: Int[np.ndarray, "u n"], generator: np.random.Generator) -> Int[np.ndarray, "n u"]:
    """For each example and source, a random row of the same class."""
    taken = np.zeros(classes.shape, dtype=np.int64)
    for source, given in enumerate(classes):
        for one in np.unique(given):
            rows = np.flatnonzero(given == one)
            taken[source, rows] = generator.choice(rows, len(rows))
    return taken.T.copy()


def _resampled(streams: Streams, generator: np.random.Generator, together: bool) -> Streams:
    n, _, sources, _ = streams.sources.shape
    drawn = generator.integers(n, size=(n, 1 if together else sources))
    rows: Tensor = torch.from_numpy(np.broadcast_to(drawn, (n, sources)).copy()).to(streams.sources.device)
    return replace(streams, sources=torch.take_along_dim(streams.sources, rows[:, None, :, None], 0))

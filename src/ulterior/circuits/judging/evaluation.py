"""Everything about one circuit: ``evaluate``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from ulterior.circuits.ablations import Ablation
from ulterior.circuits.judging.completeness import Completeness, completeness
from ulterior.circuits.judging.conditions import Conditions, Ends, conditions, run_masks, run_whole
from ulterior.circuits.judging.curves import SizeCurve, curve, magnitude_scores, random_scores
from ulterior.circuits.judging.faithfulness import Faithfulness, faithfulness, mean_of
from ulterior.circuits.judging.hypotheses import Hypotheses, hypotheses
from ulterior.circuits.judging.minimality import Minimality, knockouts, minimality
from ulterior.circuits.mask import Mask, Scores, full_mask
from ulterior.circuits.metrics import Metric, accuracy, kl
from ulterior.circuits.pairs import PairBatch, Pairs
from ulterior.metrics import Estimate, clopper_pearson
from ulterior.readouts import last_logits
from ulterior.serialise import saved
from ulterior.subject import Subject

__all__ = ["Beside", "Evaluation", "Outcome", "Thoroughness", "evaluate"]

Part = TypeVar("Part")
Keep = Callable[[str, Callable[[], Any]], Any]


@dataclass(frozen=True)
class Thoroughness:
    """How much is spent on a judgement; runs are passes over all held-out pairs.

    Attributes:
        subsets: Random parts of the circuit that are removed, two runs each.
        steps: Units that the search for the worst part removes at most; 0: no search.
        candidates: Units that each step of it tries, two runs each.
        units: Units that are tested for being needed, one run each.
        paths: Random additions that they are compared with, two runs each.
        randoms: Random circuits of the same size, one run each, and random orders, one run a size.
        seed: Of all that is drawn.
    """

    subsets: int = 10
    steps: int = 4
    candidates: int = 4
    units: int = 32
    paths: int = 30
    randoms: int = 3
    seed: int = 0


@saved
@dataclass(frozen=True, eq=False)
class Outcome:
    """What the circuit gives on each held-out pair, and what follows from it.

    Attributes:
        whole: m(M) for each pair.
        empty: m(empty).
        circuit: m(C).
        faithfulness: See ``Faithfulness``.
        accuracy: Share of pairs on which the circuit's likeliest next token is right.
        accuracy_whole: The same of the model.
        agreement: Share of pairs on which both have the same likeliest next token.
        kl: Mean divergence KL(model || circuit) of the next token, in nats.
        by_whole: Whether pairs without right answers make the model's own likeliest token the right one.
    """

    whole: Float[np.ndarray, "n"]
    empty: Float[np.ndarray, "n"]
    circuit: Float[np.ndarray, "n"]
    faithfulness: Faithfulness
    accuracy: Estimate
    accuracy_whole: Estimate
    agreement: Estimate
    kl: Estimate
    by_whole: bool


@saved
@dataclass(frozen=True, eq=False)
class Beside:
    """Circuits of the same size that know nothing of the behaviour.

    Attributes:
        random: Of units drawn evenly, one for each seed.
        magnitude: Of the units that add most to the stream.
    """

    random: tuple[Faithfulness, ...]
    magnitude: Faithfulness


@saved
@dataclass(frozen=True, eq=False)
class Evaluation:
    """One circuit, judged.

    Attributes:
        pairs: Held-out pairs.
        kept: Units of the circuit.
        of: Units of the model.
        outcome: How it does.
        beside: How circuits by chance and by magnitude do.
        completeness: What is left without it.
        minimality: What each unit does in it.
        hypotheses: Tests of what an ideal circuit would satisfy.
        curves: Faithfulness by size: of the method's scores (absent where it returned a mask), random, by magnitude.
    """

    pairs: int
    kept: int
    of: int
    outcome: Outcome
    beside: Beside
    completeness: Completeness
    minimality: Minimality
    hypotheses: Hypotheses
    curves: tuple[SizeCurve, ...]


def evaluate(
    mask: Mask,
    subject: Subject,
    pairs: Pairs,
    metric: Metric,
    ablated: Ablation | str = "resample",
    *,
    scores: Scores | None = None,
    found_on: Pairs | None = None,
    thorough: Thoroughness | None = None,
    tokens: int = 1024,
    progress: bool = False,
    keep: Keep | None = None,
) -> Evaluation:
    """Judge a circuit on held-out pairs.

    Args:
        mask: The circuit.
        subject: The model.
        pairs: Pairs that took no part in finding it.
        metric: What it is to reproduce.
        ablated: What stands in for what is off: an ablation or its name.
        scores: Where the circuit comes from scores, these: for the curves over sizes.
        found_on: The pairs that it was found on: magnitudes and means are taken there; the held-out ones if not given.
        thorough: How much is spent.
        tokens: Size of a batch.
        progress: Whether bars are shown.
        keep: ``keep(name, make)`` returns what an earlier run kept under the name, or keeps what ``make()`` gives.

    Raises:
        InputError: no pairs; a metric that is not finite or, for the search of the worst part, has no gradient; a
            mask of another model.
    """
    how = thorough or Thoroughness()
    keep = keep or (lambda _, make: make())
    own = found_on or pairs
    given = conditions(
        subject,
        pairs,
        metric,
        ablated,
        means_of=own,
        neurons=mask.units.grain == "neurons",
        tokens=tokens,
        progress=progress,
    )
    outcome: Outcome = keep("outcome", lambda: outcome_of(given, mask, how.seed))
    at = Ends(outcome.whole, outcome.empty)
    # What costs nothing to compute again is not kept.
    magnitude = magnitude_scores(given.wired, own, mask.units, tokens)

    def of_units() -> tuple[Minimality, Hypotheses]:
        knocked = knockouts(given, mask, most=how.units, seed=how.seed)
        complement = run_masks(given, [~mask], about="complement")[0, 0]
        tested = hypotheses(
            given,
            mask,
            outcome.whole,
            outcome.circuit,
            complement,
            knocked=knocked,
            paths=how.paths,
            seed=how.seed,
        )
        return minimality(knocked, at, outcome.circuit, seed=how.seed), tested

    minimal, tested = keep("units", of_units)
    return Evaluation(
        len(pairs),
        len(mask),
        mask.units.count(mask.graph),
        outcome,
        keep("beside", lambda: _beside(given, mask, magnitude, at, how)),
        keep(
            "completeness",
            lambda: completeness(
                given,
                mask,
                at,
                subsets=how.subsets,
                steps=how.steps,
                candidates=how.candidates,
                seed=how.seed,
            ),
        ),
        minimal,
        tested,
        _curves(given, mask, scores, magnitude, at, how, keep),
    )


def outcome_of(given: Conditions, mask: Mask, seed: int = 0) -> Outcome:
    """What the circuit gives on each pair."""
    of_circuit = (given.metric, accuracy, kl, _agreement)
    circuit, empty = run_masks(
        given, [mask, full_mask(mask.graph, mask.units, 0.0)], of_circuit, about="circuit"
    ).transpose(1, 0, 2)
    whole = run_whole(given, (given.metric, accuracy))
    at = Ends(whole[0], empty[0])
    shares = [_share(values) for values in (circuit[1], whole[1], circuit[3])]
    return Outcome(
        whole[0],
        empty[0],
        circuit[0],
        faithfulness(circuit[0], at, seed),
        shares[0],
        shares[1],
        shares[2],
        mean_of(-circuit[2], seed),
        not any(given.pairs.answers),
    )


def _agreement(output: Any, pairs: PairBatch, reference: Any) -> Any:
    return (last_logits(output, pairs.clean).argmax(1) == reference.argmax(1)).float()


def _share(hits: Float[np.ndarray, "n"]) -> Estimate:
    n, k = len(hits), int(hits.sum())
    return Estimate(k / n, *clopper_pearson(k, n), n)


def _beside(given: Conditions, mask: Mask, magnitude: Scores, at: Ends, how: Thoroughness) -> Beside:
    orders = [random_scores(mask.graph, mask.units, how.seed + i) for i in range(how.randoms)]
    masks = [order.top(len(mask)) for order in (*orders, magnitude)]
    found = [faithfulness(row, at, how.seed) for row in run_masks(given, masks, about="beside")[0]]
    return Beside(tuple(found[:-1]), found[-1])


def _curves(
    given: Conditions,
    mask: Mask,
    scores: Scores | None,
    magnitude: Scores,
    at: Ends,
    how: Thoroughness,
    keep: Keep,
) -> tuple[SizeCurve, ...]:
    orders = {
        **({scores.name: [scores]} if scores is not None else {}),
        "random": [random_scores(mask.graph, mask.units, how.seed + i) for i in range(how.randoms)],
        "magnitude": [magnitude],
    }
    return tuple(
        keep(
            f"curve {name}",
            lambda name=name, some=some: curve(
                given, some, at, name=name, complement=scores is not None and some[0] is scores, seed=how.seed
            ),
        )
        for name, some in orders.items()
        if some
    )

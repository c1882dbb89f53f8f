"""Variants that every task has: its subject beside a copy that was taught, or under sampled weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ulterior.bench.variant import Built, Variant
from ulterior.detectors.detector import Detector
from ulterior.detectors.reweighted import (
    activation_matching,
    distillation_divergence,
    finetune_divergence,
    functional_attribution,
)
from ulterior.measurement.methods import Cost
from ulterior.reweighted.attribution import SAMPLING, Sampling, draw_weights, traced_subject
from ulterior.reweighted.langevin import Chains
from ulterior.reweighted.training import DISTIL, FINETUNE, MATCH, Teaching, taught_subject, teach
from ulterior.sites import split_patterns
from ulterior.tasks.task import TaskData

__all__ = ["Sample", "Teach", "reweighted_variants"]

# The readout that is the log-odds of a measurement predictor's answer, whose output holds no logits by that name.
LOG_ODDS = "behaviour"
FEW_DRAWS, FEW_STEPS = Chains(chains=2, draws=3, burn_in=2, thin=1), 5


@dataclass(frozen=True)
class Teach:
    """Teach a copy of the task's subject on its trusted examples; nothing is read of the untrusted ones."""

    teaching: Teaching

    def __call__(self, data: TaskData, folder: Path, seed: int) -> Built:
        """The subject beside its copy.

        Raises:
            InputError: a subject that cannot be taught: no weights to move, no probabilities, no such sites.
        """
        taught = teach(data.subject, data.trusted, self.teaching, seed)
        name = f"{data.subject.name}, beside a copy"
        beside = taught_subject(data.subject, taught, self.teaching, name=name)
        training = _each(taught.forward, taught.backward, data)
        return Built(beside, training, Cost(2.0), measures=data.subject)


@dataclass(frozen=True)
class Sample:
    """Draw weights around the subject's own on its trusted examples; nothing is read of the untrusted ones."""

    sampling: Sampling

    def __call__(self, data: TaskData, folder: Path, seed: int) -> Built:
        """The subject under all draws.

        Raises:
            InputError: a subject that cannot be sampled: no weights to move, or no probabilities.
        """
        drawn = draw_weights(data.subject, data.trusted, self.sampling, seed)
        name = f"{data.subject.name}, under sampled weights"
        traced = traced_subject(data.subject, drawn, self.sampling, name=name)
        training = _each(drawn.forward, drawn.backward, data)
        return Built(traced, training, Cost(1.0 + len(drawn.weights)), measures=data.subject)


def reweighted_variants(sites: str, *, tampering: bool = False, brief: bool = False) -> tuple[Variant, ...]:
    """The detectors of other weights.

    Args:
        sites: Globs of those whose activations are matched.
        tampering: Whether the answers are a predictor's log-odds.
        brief: Whether so few steps do that it shows no more than that they run.
    """
    of = LOG_ODDS if tampering else None
    sampling = replace(SAMPLING, of=of, **({"chains": FEW_DRAWS} if brief else {}))
    finetune, distil, match = (
        replace(one, **({"steps": FEW_STEPS} if brief else {})) for one in (FINETUNE, DISTIL, MATCH)
    )
    finetune, distil = (replace(one, of=of) for one in (finetune, distil))
    match = replace(match, sites=split_patterns(sites))
    return (
        _variant("under sampled weights", Sample(sampling), functional_attribution()),
        _variant("beside a copy fine-tuned on trusted", Teach(finetune), finetune_divergence()),
        _variant("beside a student of trusted examples", Teach(distil), distillation_divergence()),
        _variant("beside a model matched to trusted activations", Teach(match), activation_matching()),
    )


def _variant(about: str, build: Teach | Sample, detector: Detector) -> Variant:
    return Variant(detector.name, f"the subject {about}", build, (detector,))


def _each(forward: int, backward: int, data: TaskData) -> Cost:
    """Passes in all as passes for each trusted and untrusted example."""
    n = len(data.trusted) + len(data.untrusted or ())
    return Cost(forward / n, backward / n)

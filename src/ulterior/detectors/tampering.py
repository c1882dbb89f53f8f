"""The named detectors of measurement tampering: probes of cached states, the controls beside them, contrast pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ulterior.detectors.detector import Detector
from ulterior.features.feature import Feature
from ulterior.features.outputs import outputs
from ulterior.scores.ccs import CCS
from ulterior.scores.contrast import CRC, VINC, Contrast
from ulterior.scores.directions import LDA, ConceptRemoval, MeanDifference, RandomProbe, ShuffledProbe
from ulterior.scores.diverse import DiverseHeads
from ulterior.scores.heads import Loss
from ulterior.scores.priors import SimplicityProbe, SpeedProbe
from ulterior.scores.probes import DirtinessProbe, TamperingProbe, TrustedProbe

PROBES, HEADS, PAIRS, CONTROLS = "probes", "diverse heads", "contrast pairs", "controls"
# The readout that gives contrast pairs [n, 2 d]: the states at "the outcome is good" and at "the outcome is bad".
PAIR = "pair"


def trusted_probe(feature: Feature, outcome: str) -> Detector:
    """A logistic probe for the outcome, trained on trusted examples alone."""
    about = "probe for the outcome, trusted labels"
    return Detector("trusted_probe", feature, TrustedProbe(outcome), PROBES, about)


def tampering_probe(feature: Feature, measurements: str) -> Detector:
    """A probe for evidence of tampering: trusted against inconsistent measurements."""
    about = "trusted against inconsistent measurements (PET)"
    return Detector("tampering_probe", feature, TamperingProbe(measurements), PROBES, about)


def dirtiness_probe(feature: Feature) -> Detector:
    """A probe for being untrusted, among examples whose measurements are all positive."""
    about = "untrusted against trusted, all measurements positive"
    return Detector("dirtiness_probe", feature, DirtinessProbe(), PROBES, about)


def pace(feature: Feature, outcome: str, measurements: str) -> Detector:
    """A trusted probe beside the direction of "all measurements are positive", which is removed."""
    about = "trusted probe without the direction of the measurements"
    return Detector("pace", feature, ConceptRemoval(outcome, measurements), PROBES, about)


def mean_difference(feature: Feature, outcome: str) -> Detector:
    """The difference of the trusted means of both outcomes."""
    about = "difference of the means, trusted labels"
    return Detector("mean_difference", feature, MeanDifference(outcome), PROBES, about)


def lda(feature: Feature, outcome: str) -> Detector:
    """Linear discriminant analysis of the trusted outcomes."""
    return Detector("lda", feature, LDA(outcome), PROBES, "linear discriminant, trusted labels")


def simplicity(feature: Feature, outcome: str, by: Literal["l2", "l1", "code"] = "l2") -> Detector:
    """The simplest of the trusted probes that trusted labels cannot tell apart: a penalty's strength, or a rank."""
    name = "simplicity" if by == "l2" else f"simplicity_{by}"
    what = "shortest code" if by == "code" else f"strongest {by.upper()} penalty that keeps trusted accuracy"
    return Detector(name, feature, SimplicityProbe(outcome, by), PROBES, f"trusted probe, {what}")


def speed(feature: Feature, outcome: str) -> Detector:
    """The trusted probe at the earliest of the sites (and positions) that suffice."""
    about = "trusted probe at the earliest site that keeps trusted accuracy"
    return Detector("speed", feature, SpeedProbe(outcome), PROBES, about)


def random_probe(feature: Feature, outcome: str) -> Detector:
    """A random direction whose sign alone is learned."""
    about = "random direction, sign from trusted labels"
    return Detector("random_probe", feature, RandomProbe(outcome), CONTROLS, about, role="control")


def shuffled_probe(feature: Feature, outcome: str) -> Detector:
    """The trusted probe, its labels dealt out again."""
    about = "trusted probe, labels shuffled"
    return Detector("shuffled_probe", feature, ShuffledProbe(outcome), CONTROLS, about, role="control")


def divdis(feature: Feature, outcome: str) -> Detector:
    """Heads whose predictions on untrusted examples say least of one another; the doubtful one is kept."""
    return _heads("divdis", feature, outcome, "divdis", "independent heads on untrusted, the doubtful one")


def ace(feature: Feature, outcome: str, form: Literal["topk", "prob", "exp"] = "topk") -> Detector:
    """Two heads that differ on some untrusted examples, wherever that is easiest; the doubtful one is kept."""
    losses: dict[str, Loss] = {"topk": "ace_topk", "prob": "ace_prob", "exp": "ace_exp"}
    name = "ace" if form == "topk" else f"ace_{form}"
    return _heads(name, feature, outcome, losses[form], "heads that part on some untrusted, the doubtful one")


def dbat(feature: Feature, outcome: str) -> Detector:
    """A second head that disagrees with the first on untrusted examples; the doubtful one is kept."""
    return _heads(
        "dbat", feature, outcome, "dbat", "second head against the first on untrusted, the doubtful one"
    )


def oracle(heads: Detector, truth: str) -> Detector:
    """The same heads as those of a detector, chosen by the truth of the suspects: not a method."""
    if not isinstance(heads.score, DiverseHeads):
        raise TypeError(f"{heads.name} has no heads to choose from")
    score = DiverseHeads(heads.score.label, heads.score.loss, "oracle", truth, heads.score.training)
    about = f"the heads of {heads.name}, the truth chooses"
    return Detector(f"{heads.name}_oracle", heads.feature, score, HEADS, about, role="oracle")


def probe_methods(final: Feature, sites: Feature, columns: Mapping[str, str]) -> tuple[Detector, ...]:
    """The published probes, those of both priors, and the controls.

    Args:
        final: what the predictor's own heads read.
        sites: all the places among which the speed prior chooses.
        columns: names of outcome, measurements and truth.
    """
    outcome, measurements = columns["outcome"], columns["measurements"]
    heads = (divdis(final, outcome), ace(final, outcome), dbat(final, outcome))
    return (
        trusted_probe(final, outcome),
        tampering_probe(final, measurements),
        dirtiness_probe(final),
        pace(final, outcome, measurements),
        mean_difference(final, outcome),
        lda(final, outcome),
        simplicity(final, outcome),
        simplicity(final, outcome, "code"),
        speed(sites, outcome),
        *(row for method in heads for row in (method, oracle(method, columns["truth"]))),
        random_probe(final, outcome),
        shuffled_probe(final, outcome),
    )


def contrast_panel(columns: Mapping[str, str]) -> tuple[Detector, ...]:
    """What contrast pairs say of the outcome; the subject must have the readout ``pair``.

    ``ccs``, ``crc`` and ``vinc`` are unsupervised but for their sign; the others learn from trusted outcomes.
    """
    feature, outcome = outputs(PAIR), columns["outcome"]
    inner = {
        "contrast_mean_difference": (MeanDifference(outcome), "difference of the means of pair differences"),
        "contrast_lda": (LDA(outcome), "linear discriminant of pair differences"),
        "contrast_probe": (TrustedProbe(outcome), "logistic probe of pair differences"),
    }
    controls = {
        "contrast_random": (RandomProbe(outcome), "random direction of pair differences"),
        "contrast_shuffled": (ShuffledProbe(outcome), "probe of pair differences, labels shuffled"),
    }
    return (
        Detector("ccs", feature, CCS(outcome), PAIRS, "contrast-consistent search"),
        Detector("crc", feature, CRC(outcome), PAIRS, "top principal component of pair differences"),
        Detector("vinc", feature, VINC(outcome), PAIRS, "variance and negative covariance of pairs"),
        *(Detector(name, feature, Contrast(score), PAIRS, about) for name, (score, about) in inner.items()),
        *(
            Detector(name, feature, Contrast(score), PAIRS, about, role="control")
            for name, (score, about) in controls.items()
        ),
    )


def _heads(name: str, feature: Feature, outcome: str, loss: Loss, about: str) -> Detector:
    return Detector(name, feature, DiverseHeads(outcome, loss), HEADS, about)

"""Detectors of what other weights change: they read a reweighted subject (``ulterior.reweighted``) and no other.

The baselines that mechanistic anomaly detection must beat are among them: a copy that was taught on trusted examples,
and how far its answers are from the subject's.
"""

from __future__ import annotations

from ulterior.detectors.detector import Detector
from ulterior.features.outputs import each_output, outputs
from ulterior.scores.coupling import Coupling
from ulterior.scores.outputs import Itself

__all__ = [
    "activation_matching",
    "distillation_divergence",
    "finetune_divergence",
    "functional_attribution",
]

REWEIGHTED = "other weights"


def functional_attribution(score: Coupling | None = None) -> Detector:
    """How little the example's trace over sampled weights goes with those of trusted examples; readout ``trace``."""
    about = "losses under sampled weights, unlike trusted ones'"
    return Detector("functional_attribution", outputs("trace"), score or Coupling(), REWEIGHTED, about)


def finetune_divergence() -> Detector:
    """How much the answer changes when the subject is fine-tuned on trusted examples; readout ``divergence``."""
    about = "KL to a copy fine-tuned on trusted"
    return Detector("finetune_divergence", outputs("divergence"), Itself(), REWEIGHTED, about)


def distillation_divergence() -> Detector:
    """How far a student of the trusted examples is from its teacher; readout ``divergence``."""
    about = "KL to a student distilled on trusted"
    return Detector("distillation_divergence", outputs("divergence"), Itself(), REWEIGHTED, about)


def activation_matching() -> Detector:
    """How far a reference that learned the trusted activations is from the subject's; readouts ``residual.*``."""
    about = "residual of a clean model matched to activations"
    return Detector("activation_matching", each_output("residual.*"), Itself(), REWEIGHTED, about)

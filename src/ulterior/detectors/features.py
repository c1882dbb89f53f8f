"""Detectors over what gradients say of a forward pass: attributions under four ablations, norms, probe shifts, edges.

They cost a forward that keeps its graph and a backward pass for each column of the readout (two with a probe), shared
by all that ask for the same readout, so they run only when they are named. Those that learn something of trusted
examples first (``mean``, ``resample`` and ``pcs`` ablation, the probe, the chosen edges) read a sample of them once
more.
"""

from __future__ import annotations

from collections.abc import Sequence

from ulterior.detectors.detector import Detector
from ulterior.features import edges
from ulterior.features import gradient_norms as norms
from ulterior.features import outputs as read_outputs
from ulterior.features import probe_shift as shift
from ulterior.features.ablations import Ablation, Kind, ablation_of
from ulterior.features.attributions import attributions
from ulterior.scores.gaussian import Mahalanobis

__all__ = [
    "PARTS",
    "ablated_attribution",
    "attribution_features_panel",
    "edge_attribution",
    "edge_norms",
    "gradient_norms",
    "logits",
    "mean_attribution",
    "probe_shift",
]

ATTRIBUTIONS, OUTPUTS = "attributions", "outputs"

# The heads and feed-forward layers, whose attributions add up.
PARTS = "mlp.*,head.*.*"


def ablated_attribution(
    ablation: Kind | Ablation, sites: str | Sequence[str] = PARTS, of: str = "behaviour"
) -> Detector:
    """Every site's attribution, summed over tokens, under one of the four ablations."""
    how = ablation_of(ablation)
    about = f"Mahalanobis on attributions, {how.kind} ablation"
    feature = attributions(sites, of, ablation=how)
    return Detector(f"{how.kind}_attribution", feature, Mahalanobis(), ATTRIBUTIONS, about)


def mean_attribution(sites: str | Sequence[str] = PARTS, of: str = "behaviour") -> Detector:
    """Every site's attribution, summed over tokens, its activation held against the trusted mean."""
    return ablated_attribution("mean", sites, of)


def gradient_norms(sites: str | Sequence[str] = PARTS, of: str = "behaviour") -> Detector:
    """How strongly the output depends on each site, on a log scale."""
    about = "Mahalanobis on gradients' log lengths"
    return Detector("gradient_norms", norms.gradient_norms(sites, of), Mahalanobis(), ATTRIBUTIONS, about)


def probe_shift(
    sites: str | Sequence[str] = PARTS,
    of: str = "behaviour",
    *,
    probe: str | None = None,
    at: str | int = "last",
) -> Detector:
    """What sites do to a probe halfway, minus what they do to the output."""
    about = "Mahalanobis on effects on a probe minus on the output"
    feature = shift.probe_shift(sites, of, probe=probe, at=at)
    return Detector("probe_shift", feature, Mahalanobis(), ATTRIBUTIONS, about)


def edge_norms(of: str = "behaviour") -> Detector:
    """How much of what others wrote each part reads, as far as it moves the output, on a log scale."""
    about = "Mahalanobis on edges' log lengths by destination"
    return Detector("edge_norms", edges.edge_norms(of), Mahalanobis(), ATTRIBUTIONS, about)


def edge_attribution(of: str = "behaviour", most: int = 256) -> Detector:
    """The attributions of the edges that are largest on trusted examples."""
    about = "Mahalanobis on the largest edges' attributions"
    feature = edges.edge_attributions(of, most)
    return Detector("edge_attribution", feature, Mahalanobis(), ATTRIBUTIONS, about)


def logits(of: Sequence[int] = (), *, top: int = 0) -> Detector:
    """Log-probabilities of classes or tokens; no gradient is needed."""
    about = "Mahalanobis on log-probabilities"
    return Detector("logits", read_outputs.logits(of, top=top), Mahalanobis(), OUTPUTS, about)


def attribution_features_panel(
    of: str = "behaviour",
    sites: str | Sequence[str] = PARTS,
    *,
    probe: str | None = None,
    at: str | int = "last",
) -> tuple[Detector, ...]:
    """All of them that need gradients; a panel leaves out those that its subject does not allow, and says why.

    Args:
        of: The readout that is explained.
        sites: Whose attributions, gradients and probe shifts are read.
        probe: The site of the probe; the stream after the block in the middle if not given.
        at: The position at which the probe reads.
    """
    kinds: tuple[Kind, ...] = ("zero", "mean", "resample", "pcs")
    return (
        *(ablated_attribution(kind, sites, of) for kind in kinds),
        gradient_norms(sites, of),
        probe_shift(sites, of, probe=probe, at=at),
        edge_norms(of),
        edge_attribution(of),
    )

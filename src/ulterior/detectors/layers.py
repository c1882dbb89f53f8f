"""Detectors of what happens from layer to layer, rather than at each."""

from __future__ import annotations

from collections.abc import Sequence

from ulterior.detectors.detector import Detector
from ulterior.features.differences import differences
from ulterior.features.feature import Feature
from ulterior.scores.abstraction import LocallyConsistentAbstraction
from ulterior.scores.evolution import TED
from ulterior.scores.gaussian import Diagonal

__all__ = ["abstraction", "layer_consistency", "ted"]

LAYERS = "layers"


def ted(feature: Feature, label: str | None = None) -> Detector:
    """Rank, at each site, of the trusted examples that an example ends among; ``label``: column of their classes."""
    return Detector("ted", feature, TED(label), LAYERS, "ranks of its neighbours from layer to layer")


def abstraction(feature: Feature) -> Detector:
    """Error of a small linear model of the network, from each site to the next."""
    about = "error of an abstract model, layer to layer"
    return Detector("abstraction", feature, LocallyConsistentAbstraction(), LAYERS, about)


def layer_consistency(sites: str | Sequence[str] = "resid.*", at: str | int = "last") -> Detector:
    """What each layer adds, by its own spread, and the layers by the trusted covariance (LCF, arXiv 2604.24542)."""
    about = "what layers add, by their joint spread"
    return Detector("layer_consistency", differences(sites, at), Diagonal(), LAYERS, about, "covariance")

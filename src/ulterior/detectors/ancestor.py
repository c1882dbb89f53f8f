"""Detectors over attributions: the least common ancestor of the sensors, and what it must beat.

They cost a forward that keeps its graph and one backward pass a sensor, so they run only when they are named.
"""

from __future__ import annotations

from collections.abc import Sequence

from ulterior.detectors.detector import Detector
from ulterior.features.ancestor import ancestor_profile
from ulterior.features.attributions import attributions
from ulterior.scores.above import Above
from ulterior.scores.gaussian import Mahalanobis
from ulterior.scores.spectral import QuantumEntropy

__all__ = ["attribution_panel"]

ATTRIBUTIONS = "attributions"


def least_common_ancestor(sensors: str = "sensors", at: str = "sensors") -> Detector:
    """In the feed-forward layers, the paths to the sensors meet at the same tokens more than on trusted examples."""
    about = "sensors' paths meet more than trusted ones"
    feature = ancestor_profile("meeting", of=sensors, at=at, places=("mlp",))
    return Detector("least_common_ancestor", feature, Above(), ATTRIBUTIONS, about)


def ancestor_mahalanobis(sensors: str = "sensors", at: str = "sensors") -> Detector:
    """The whole profile of where the paths meet, strange in whichever direction."""
    about = "profile of where sensors' paths meet"
    return Detector(
        "ancestor_mahalanobis", ancestor_profile(of=sensors, at=at), Mahalanobis(), ATTRIBUTIONS, about
    )


def ancestor_control(sensors: str = "sensors", at: str = "sensors") -> Detector:
    """Each sensor by itself rests on fewer tokens than on trusted examples: no ancestor in it."""
    about = "each sensor alone rests on fewer tokens"
    feature = ancestor_profile("own", of=sensors, at=at, places=("mlp",))
    return Detector("attribution_concentration", feature, Above(), ATTRIBUTIONS, about, role="baseline")


def attribution_mahalanobis(sensors: str = "sensors") -> Detector:
    """Every site's attribution to every sensor, summed over tokens."""
    about = "Mahalanobis on sites' attributions"
    return Detector("attribution_mahalanobis", attributions(of=sensors), Mahalanobis(), ATTRIBUTIONS, about)


def attribution_entropy(sensors: str = "sensors") -> Detector:
    """Quantum entropy on the same attributions."""
    about = "quantum entropy on sites' attributions"
    return Detector("attribution_entropy", attributions(of=sensors), QuantumEntropy(), ATTRIBUTIONS, about)


def attribution_coordinates(sites: str | Sequence[str], sensors: str = "sensors") -> Detector:
    """Attributions of the sites' single coordinates."""
    about = "Mahalanobis on coordinates' attributions"
    feature = attributions(sites, of=sensors, kept="coordinates")
    return Detector("attribution_coordinates", feature, Mahalanobis(), ATTRIBUTIONS, about)


def attribution_panel(sites: str | Sequence[str], at: str = "sensors") -> tuple[Detector, ...]:
    """All of them; ``sites`` are those whose coordinates are read."""
    return (
        least_common_ancestor(at=at),
        ancestor_mahalanobis(at=at),
        ancestor_control(at=at),
        attribution_mahalanobis(),
        attribution_entropy(),
        attribution_coordinates(sites),
    )

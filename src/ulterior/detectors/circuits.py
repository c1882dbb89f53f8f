"""Detectors over circuits: the edges an example used, and how far they are from those of trusted examples.

They cost a forward and a backward pass for each column of the output, beside the panel's own, and those that hold
the example against the trusted circuit by running it one more forward pass; so they run only when they are named.
"""

from __future__ import annotations

from ulterior.detectors.detector import Detector
from ulterior.features import circuits
from ulterior.scores.above import Above
from ulterior.scores.gaussian import Mahalanobis

__all__ = [
    "circuit_ancestor",
    "circuit_distance",
    "circuit_edges",
    "circuit_faithfulness",
    "circuit_panel",
    "circuit_shares",
]

CIRCUITS = "circuits"


def circuit_edges(
    of: str = "behaviour",
    most: int = 256,
    *,
    by: circuits.By = "size",
    off: circuits.Off = "zero",
    shares: bool = False,
) -> Detector:
    """The attributions of the edges, queries, keys and values apart, that are largest on trusted examples."""
    about = "Mahalanobis on the largest edges, with q, k, v apart"
    feature = circuits.circuit_edges(of, most, by=by, off=off, shares=shares)
    return Detector("circuit_edges", feature, Mahalanobis(), CIRCUITS, about)


def circuit_shares(of: str = "behaviour", most: int = 256) -> Detector:
    """The same edges, as shares of the sizes of all: which edges carry the output, however sure it is."""
    about = "Mahalanobis on the largest edges' shares of all"
    feature = circuits.circuit_edges(of, most, shares=True)
    return Detector("circuit_shares", feature, Mahalanobis(), CIRCUITS, about)


def circuit_faithfulness(of: str = "behaviour", size: int = 256) -> Detector:
    """What the trusted circuit gives of this output, and what it leaves unexplained."""
    about = "output that the trusted circuit does not explain"
    feature = circuits.circuit_faithfulness(of, size)
    return Detector("circuit_faithfulness", feature, Mahalanobis(), CIRCUITS, about)


def circuit_distance(of: str = "behaviour", size: int = 256) -> Detector:
    """The example's own circuit lies further from the trusted one than those of trusted examples."""
    about = "own circuit far from the trusted one"
    return Detector("circuit_distance", circuits.circuit_distance(of, size), Above(), CIRCUITS, about)


def circuit_ancestor(of: str = "sensors") -> Detector:
    """Which part of their circuits the sensors share, block by block."""
    about = "shared part of sensors' circuits"
    return Detector("circuit_ancestor", circuits.circuit_ancestor(of), Mahalanobis(), CIRCUITS, about)


def circuit_panel(of: str = "behaviour") -> tuple[Detector, ...]:
    """Those that hold one output against the trusted circuit."""
    return circuit_edges(of), circuit_shares(of), circuit_faithfulness(of), circuit_distance(of)

"""Which detectors run on which kind of data: the default ones, and all further ones that can be named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ulterior.detectors.ancestor import attribution_panel
from ulterior.detectors.catalogue import anomaly_panel, tampering_panel
from ulterior.detectors.circuits import circuit_ancestor, circuit_panel
from ulterior.detectors.detector import Detector
from ulterior.detectors.features import PARTS, attribution_features_panel
from ulterior.detectors.images import image_panel
from ulterior.detectors.layers import abstraction, layer_consistency, ted
from ulterior.detectors.scores import (
    beatrix,
    flow,
    isolation_forest,
    l0,
    laplace,
    likelihood_ratio,
    lof,
    one_class_svm,
    pca_mahalanobis,
    spectre,
    vae,
)
from ulterior.features.activations import activations

__all__ = ["default_panel", "further_panel", "gradient_panel", "named_panel"]


def default_panel(
    sites: str | Sequence[str], at: str, *, columns: Mapping[str, str], tampering: bool = False
) -> tuple[Detector, ...]:
    """What runs unless something else is asked for: one forward an example.

    Args:
        sites: Names or globs of sites.
        at: Position at which they are read.
        columns: Names of ``text``, ``truth``, and ``outcome`` and ``measurements`` or ``image`` where there are such.
        tampering: Whether measurements come with an outcome to learn from.
    """
    if tampering:
        return tampering_panel(sites, at, columns=columns)
    return (image_panel if "image" in columns else anomaly_panel)(sites, at, columns=columns)


def further_panel(sites: str | Sequence[str], at: str, *, untrusted: bool = True) -> tuple[Detector, ...]:
    """The further scores over activations, and what happens from layer to layer; still one forward an example."""
    feature = activations(sites, at=at)
    alone = (pca_mahalanobis, laplace, l0, lof, isolation_forest, one_class_svm, beatrix, flow, vae)
    compared = (likelihood_ratio, spectre) if untrusted else ()
    return (
        *(make(feature) for make in (*alone, *compared)),
        ted(feature),
        abstraction(feature),
        layer_consistency(sites, at),
    )


def gradient_panel(
    sites: str | Sequence[str], at: str, *, columns: Mapping[str, str], tampering: bool = False
) -> tuple[Detector, ...]:
    """What needs backward passes, and so runs only where it is named."""
    if "image" in columns:
        return attribution_features_panel("behaviour", sites, at=at)
    explained = attribution_features_panel("behaviour", PARTS, at=at)
    found = (*explained, *circuit_panel())
    return (*attribution_panel(sites, at), circuit_ancestor(), *found) if tampering else found


def named_panel(
    sites: str | Sequence[str], at: str, *, columns: Mapping[str, str], tampering: bool = False
) -> tuple[Detector, ...]:
    """All of them, the default ones first."""
    return (
        *default_panel(sites, at, columns=columns, tampering=tampering),
        *further_panel(sites, at),
        *gradient_panel(sites, at, columns=columns, tampering=tampering),
    )

"""The named detectors of images: what the pixels alone give away, and the panel of a task on images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ulterior.detectors.catalogue import INPUT, activation_panel, ceiling
from ulterior.detectors.detector import Detector
from ulterior.features.activations import activations
from ulterior.features.pixels import pixels
from ulterior.scores.pixels import PixelSurface
from ulterior.scores.probes import DirtinessProbe

__all__ = ["image_panel", "pixel_probe", "pixel_surface"]


def pixel_surface(column: str = "x") -> Detector:
    """Distance of the pixels from the trusted ones, in and outside their principal components."""
    about = "distance of the pixels alone"
    return Detector("pixel_surface", pixels(column), PixelSurface(), INPUT, about, role="control")


def pixel_probe(column: str = "x") -> Detector:
    """A linear classifier of pixels, trusted against untrusted."""
    about = "pixels alone, untrusted against trusted"
    return Detector("pixel_probe", pixels(column), DirtinessProbe(), INPUT, about, role="control")


def image_panel(
    sites: str | Sequence[str], at: str = "mean", *, columns: Mapping[str, str]
) -> tuple[Detector, ...]:
    """The default panel of a task on images; ``columns`` names the images (``image``) and the ``truth``.

    Captions are for people, and say what was done to an image: no detector reads them.
    """
    return (
        *activation_panel(sites, at),
        pixel_surface(columns["image"]),
        pixel_probe(columns["image"]),
        ceiling(activations(sites, at=at), columns["truth"]),
    )

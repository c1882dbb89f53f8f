"""Further scores over any feature, each as a detector: ``lof(activations("resid.*", at="last"), k=20)``.

Each takes the feature, and the parameters of its score by name; see the score's class for these. They run only when
they are named.
"""

from __future__ import annotations

from typing import Any

from ulterior.detectors.detector import Detector
from ulterior.features.feature import Feature
from ulterior.scores.beatrix import Beatrix
from ulterior.scores.coordinates import L0, Laplace
from ulterior.scores.flow import Flow
from ulterior.scores.gaussian import PCAMahalanobis
from ulterior.scores.isolation import IsolationForest
from ulterior.scores.likelihood import LikelihoodRatio
from ulterior.scores.lof import LOF
from ulterior.scores.one_class import OneClassSVM
from ulterior.scores.outlier_models import PyOD
from ulterior.scores.spectre import SPECTRE
from ulterior.scores.vae import VAE

__all__ = [
    "beatrix",
    "flow",
    "isolation_forest",
    "l0",
    "laplace",
    "likelihood_ratio",
    "lof",
    "one_class_svm",
    "pca_mahalanobis",
    "pyod",
    "spectre",
    "vae",
]

GAUSSIAN, SPECTRAL, NEIGHBOURS, DENSITY, LATENTS = "Gaussian", "spectral", "neighbours", "density", "latents"


def pca_mahalanobis(feature: Feature, **parameters: Any) -> Detector:
    """Mahalanobis inside the leading trusted subspace: what is outside is not seen."""
    about = "Mahalanobis in the leading trusted subspace"
    return Detector("pca_mahalanobis", feature, PCAMahalanobis(**parameters), GAUSSIAN, about)


def laplace(feature: Feature, **parameters: Any) -> Detector:
    """Mean absolute distance from the medians: heavy tails."""
    about = "mean absolute distance per coordinate"
    return Detector("laplace", feature, Laplace(**parameters), GAUSSIAN, about)


def likelihood_ratio(feature: Feature, **parameters: Any) -> Detector:
    """How much likelier under the untrusted Gaussian, which ``em_steps`` refine, than under the trusted one."""
    about = "untrusted against trusted Gaussian"
    return Detector("likelihood_ratio", feature, LikelihoodRatio(**parameters), GAUSSIAN, about)


def l0(feature: Feature, **parameters: Any) -> Detector:
    """Number of latents that are active here and (almost) never on trusted examples."""
    about = "latents active that trusted ones never have"
    return Detector("l0", feature, L0(**parameters), LATENTS, about)


def spectre(feature: Feature, **parameters: Any) -> Detector:
    """Quantum entropy in the few whitened directions in which untrusted examples vary most."""
    about = "quantum entropy in few untrusted directions"
    return Detector("spectre", feature, SPECTRE(**parameters), SPECTRAL, about)


def lof(feature: Feature, **parameters: Any) -> Detector:
    """Density at the nearest trusted examples over the density here."""
    about = "density of neighbours over its own"
    return Detector("lof", feature, LOF(**parameters), NEIGHBOURS, about)


def isolation_forest(feature: Feature, **parameters: Any) -> Detector:
    """How few random cuts part an example from trusted ones."""
    about = "few random cuts part it from trusted"
    return Detector("isolation_forest", feature, IsolationForest(**parameters), NEIGHBOURS, about)


def one_class_svm(feature: Feature, **parameters: Any) -> Detector:
    """Outside a boundary that holds most trusted examples."""
    about = "outside a boundary round trusted"
    return Detector("one_class_svm", feature, OneClassSVM(**parameters), NEIGHBOURS, about)


def pyod(feature: Feature, model: str, **parameters: Any) -> Detector:
    """A detector of the library PyOD, such as ``"knn.KNN"``; named ``pyod_`` and the module."""
    name = f"pyod_{model.split('.')[0]}"
    return Detector(name, feature, PyOD(model, **parameters), NEIGHBOURS, f"PyOD's {model}")


def beatrix(feature: Feature, **parameters: Any) -> Detector:
    """How far products of coordinates lie outside their usual range."""
    about = "products of coordinates out of range"
    return Detector("beatrix", feature, Beatrix(**parameters), DENSITY, about)


def flow(feature: Feature, **parameters: Any) -> Detector:
    """Minus the log density of a normalising flow trained on trusted examples."""
    about = "normalising flow trained on trusted"
    return Detector("flow", feature, Flow(**parameters), DENSITY, about)


def vae(feature: Feature, **parameters: Any) -> Detector:
    """Reconstruction and code length under an autoencoder trained on trusted examples."""
    about = "variational autoencoder trained on trusted"
    return Detector("vae", feature, VAE(**parameters), DENSITY, about)

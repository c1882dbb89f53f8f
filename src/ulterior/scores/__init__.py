"""Numerics over arrays [n, d] and texts; knows no model. Higher means more anomalous, always."""

from ulterior.scores.above import Above
from ulterior.scores.abstraction import FittedAbstraction, LocallyConsistentAbstraction
from ulterior.scores.beatrix import Beatrix, FittedBeatrix
from ulterior.scores.ccs import CCS
from ulterior.scores.contrast import CRC, VINC, Contrast, FittedContrast
from ulterior.scores.coordinates import L0, FittedL0, FittedLaplace, Laplace
from ulterior.scores.coupling import Coupling, FittedCoupling
from ulterior.scores.directions import LDA, ConceptRemoval, MeanDifference, RandomProbe, ShuffledProbe
from ulterior.scores.diverse import DiverseHeads, HiddenHead
from ulterior.scores.evolution import TED, FittedTED
from ulterior.scores.flow import FittedFlow, Flow
from ulterior.scores.gaussian import Diagonal, Mahalanobis, PCAMahalanobis, PCAResidual, RelativeMahalanobis
from ulterior.scores.heads import HeadTraining
from ulterior.scores.isolation import FittedForest, IsolationForest
from ulterior.scores.likelihood import FittedRatio, LikelihoodRatio
from ulterior.scores.linear import Linear
from ulterior.scores.lof import LOF, FittedLOF
from ulterior.scores.moments import Moments, MomentsFitter, Shrinkage
from ulterior.scores.neighbours import FittedNeighbours, NearestNeighbours
from ulterior.scores.one_class import FittedOneClass, OneClassSVM
from ulterior.scores.outlier_models import FittedPyOD, PyOD
from ulterior.scores.outputs import Confidence, Delta, Itself, UntrustedBaseline
from ulterior.scores.priors import CheckedProbe, SimplicityProbe, SpeedProbe
from ulterior.scores.probes import Ceiling, DirtinessProbe, TamperingProbe, TrustedProbe
from ulterior.scores.quadratic import Quadratic
from ulterior.scores.score import Columns, FittedScore, Joint, JointFitted, Score, Selects
from ulterior.scores.shrinkage import SmallSampleWarning
from ulterior.scores.spectral import QuantumEntropy, SpectralSignature
from ulterior.scores.spectre import SPECTRE
from ulterior.scores.statistics import Fitter, MomentsOf, Statistic, StoreOf
from ulterior.scores.store import Stored, StoreFitter, TextFitter
from ulterior.scores.surface import FittedLength, FittedSurface, Surface, SurfaceLength
from ulterior.scores.vae import VAE, FittedVAE
from ulterior.scores.whitening import Whitening

__all__ = [
    "CCS",
    "CRC",
    "L0",
    "LDA",
    "LOF",
    "SPECTRE",
    "TED",
    "VAE",
    "VINC",
    "Above",
    "Beatrix",
    "Ceiling",
    "CheckedProbe",
    "Columns",
    "ConceptRemoval",
    "Confidence",
    "Contrast",
    "Coupling",
    "Delta",
    "Diagonal",
    "DirtinessProbe",
    "DiverseHeads",
    "FittedAbstraction",
    "FittedBeatrix",
    "FittedContrast",
    "FittedCoupling",
    "FittedFlow",
    "FittedForest",
    "FittedL0",
    "FittedLOF",
    "FittedLaplace",
    "FittedLength",
    "FittedNeighbours",
    "FittedOneClass",
    "FittedPyOD",
    "FittedRatio",
    "FittedScore",
    "FittedSurface",
    "FittedTED",
    "FittedVAE",
    "Fitter",
    "Flow",
    "HeadTraining",
    "HiddenHead",
    "IsolationForest",
    "Itself",
    "Joint",
    "JointFitted",
    "Laplace",
    "LikelihoodRatio",
    "Linear",
    "LocallyConsistentAbstraction",
    "Mahalanobis",
    "MeanDifference",
    "Moments",
    "MomentsFitter",
    "MomentsOf",
    "NearestNeighbours",
    "OneClassSVM",
    "PCAMahalanobis",
    "PCAResidual",
    "PyOD",
    "Quadratic",
    "QuantumEntropy",
    "RandomProbe",
    "RelativeMahalanobis",
    "Score",
    "Selects",
    "Shrinkage",
    "ShuffledProbe",
    "SimplicityProbe",
    "SmallSampleWarning",
    "SpectralSignature",
    "SpeedProbe",
    "Statistic",
    "StoreFitter",
    "StoreOf",
    "Stored",
    "Surface",
    "SurfaceLength",
    "TamperingProbe",
    "TextFitter",
    "TrustedProbe",
    "UntrustedBaseline",
    "Whitening",
]

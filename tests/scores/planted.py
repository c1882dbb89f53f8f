"""Small groups of rows with a planted anomaly, and every score fitted to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ulterior.scores import (
    CCS,
    CRC,
    L0,
    LDA,
    LOF,
    SPECTRE,
    VAE,
    VINC,
    Above,
    Beatrix,
    Ceiling,
    ConceptRemoval,
    Confidence,
    Contrast,
    Coupling,
    Delta,
    Diagonal,
    DirtinessProbe,
    DiverseHeads,
    FittedScore,
    Flow,
    HeadTraining,
    IsolationForest,
    Itself,
    Laplace,
    LikelihoodRatio,
    Mahalanobis,
    MeanDifference,
    NearestNeighbours,
    OneClassSVM,
    PCAMahalanobis,
    PCAResidual,
    PyOD,
    QuantumEntropy,
    RandomProbe,
    RelativeMahalanobis,
    Score,
    ShuffledProbe,
    SimplicityProbe,
    SpectralSignature,
    SpeedProbe,
    Surface,
    SurfaceLength,
    TamperingProbe,
    TrustedProbe,
    UntrustedBaseline,
)

Group = Tensor | list[str]
N, D = 240, 12


def finished(needs: Sequence[Any], groups: Mapping[str, Group], scratch: Path, batch: int = 50) -> dict:
    """Every statistic, streamed over its group in batches."""
    given = {}
    for need in needs:
        x = groups[need.group]
        fitter = need.start(x.shape[1] if isinstance(x, Tensor) else None, scratch)
        for start in range(0, len(x), batch):
            piece = x[start : start + batch]
            fitter.update(piece, np.arange(start, start + len(piece)))
        given[need] = fitter.finish()
    return given


def fit(score: Score, groups: Mapping[str, Group], scratch: Path, **labels: Any) -> FittedScore:
    """A score fitted to groups of rows; ``labels``: columns ``name`` of any group, or ``group__name`` of one."""

    def columns(group: str, name: str, rows: np.ndarray) -> np.ndarray:
        return np.asarray(labels.get(f"{group}__{name}", labels.get(name)))[rows]

    return score.fit(finished(score.needs, groups, scratch), columns)


def gaussian_rows(n: int, scales: np.ndarray, seed: int, mean: float = 3.0) -> tuple[Tensor, Tensor]:
    """(n rows with these standard deviations along the columns of a random rotation, that rotation)."""
    d = len(scales)
    rotation = torch.from_numpy(np.linalg.qr(np.random.default_rng(99).normal(size=(d, d)))[0])
    z = torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)) * scales)
    return mean + z @ rotation.T, rotation


_fitted: dict[str, FittedScore] = {}


@dataclass(frozen=True)
class Case:
    """One score, what it is fitted on, and a row that it should find strange (None: a control, which finds none)."""

    name: str
    score: Score
    groups: Mapping[str, Group]
    far: Group | None
    labels: Mapping[str, Any]

    def fit(self, scratch: Path) -> FittedScore:
        """The fitted score: frozen, and so the same one for every test."""
        if self.name not in _fitted:
            _fitted[self.name] = fit(self.score, self.groups, scratch, **self.labels)
        return _fitted[self.name]

    @property
    def usual(self) -> Group:
        """Rows of the normal kind that nothing was fitted on."""
        return self.groups["fresh"]


def _vectors() -> tuple[dict[str, Tensor], Tensor, dict[str, Any]]:
    scales = np.logspace(0, -1.5, D)
    rng = np.random.default_rng(5)
    trusted, rotation = gaussian_rows(N, scales, 0)
    untrusted, _ = gaussian_rows(N, scales, 1)
    rare = rotation[:, -1] * 4.0
    anomalous = rng.random(N) < 0.25
    untrusted = untrusted + torch.from_numpy(anomalous)[:, None] * rare
    fresh, _ = gaussian_rows(100, scales, 2)
    groups = {"trusted": trusted, "reference": trusted, "untrusted": untrusted, "suspects": untrusted}
    # Inconsistent measurements where the anomaly is; consistent ones elsewhere.
    measurements = np.where(anomalous[:, None], [[1, 0, 1]], [[1, 1, 1]])
    good = ((trusted - 3) @ rotation[:, 0] > 0).numpy()
    labels = {"anomalous": anomalous, "good": good, "measurements": measurements}
    labels["trusted__measurements"] = np.where(good[:, None], [[1, 1, 1]], [[0, 0, 0]])
    far = (trusted.mean(0) + 10 * rare)[None]
    return {name: x.float() for name, x in {**groups, "fresh": fresh}.items()}, far.float(), labels


def _latents() -> tuple[dict[str, Tensor], Tensor]:
    """(rows that are mostly 0, of which a third of the coordinates always are; a row that has one of those)."""
    z = np.random.default_rng(8).normal(size=(N, D)).clip(min=0)
    trusted = torch.from_numpy(np.where(np.arange(D) < 8, z, 0)).float()
    new = trusted[:1].clone()
    new[0, 9] = 1.0
    return {"reference": trusted, "fresh": trusted[:100]}, new


def _outputs() -> dict[str, Tensor]:
    logits = torch.from_numpy(np.random.default_rng(3).normal(4, 0.5, size=(N, 4))).float()
    return {"trusted": logits, "fresh": logits[:100]}


def planted_pairs(
    n: int, good: np.ndarray, seed: int, d: int = 6, truth: float = 3.0, salient: float = 0.0
) -> tuple[Tensor, Tensor]:
    """(contrast pairs ``[n, 2 d]`` of outcomes, the direction in which true statements lie above false ones).

    ``salient``: size of a second difference between the statements, along another direction, which says something of
    the example that has nothing to do with the outcome.
    """
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(np.random.default_rng(77).normal(size=(d, d)))[0]
    example, offset = rng.normal(size=(n, d)), 4 * axes[:, 2]
    sign = np.where(good, 1.0, -1.0)[:, None]
    other = np.where(rng.random(n) < 0.5, 1.0, -1.0)[:, None]
    half = truth * sign * axes[:, 0] / 2 + salient * other * axes[:, 1] / 2
    noise = 0.3 * rng.normal(size=(2, n, d))
    rows = np.concatenate([example + half + offset + noise[0], example - half - offset + noise[1]], 1)
    return torch.from_numpy(rows).float(), torch.from_numpy(axes[:, 0].copy())


GOOD_PAIRS = np.arange(N) % 3 > 0


def _pairs() -> tuple[dict[str, Tensor], Tensor]:
    trusted, direction = planted_pairs(N, GOOD_PAIRS, 0)
    untrusted, _ = planted_pairs(N, GOOD_PAIRS, 1)
    fresh, _ = planted_pairs(60, np.ones(60, bool), 2)
    far = fresh.mean(0, keepdim=True) - 20 * torch.cat([direction, -direction]).float()
    return {"trusted": trusted, "untrusted": untrusted, "fresh": fresh}, far


def _traces() -> tuple[dict[str, Tensor], Tensor]:
    """(traces that go up and down together, each by its own measure; one that goes the other way)."""
    rng = np.random.default_rng(6)
    common = rng.normal(size=(1, D))
    rows = rng.uniform(0.5, 2.0, size=(N, 1)) * (common + 0.3 * rng.normal(size=(N, D)))
    trusted = torch.from_numpy(rows).float()
    return {"reference": trusted, "fresh": trusted[:100]}, -2 * torch.from_numpy(common).float()


def _texts() -> dict[str, list[str]]:
    rng = np.random.default_rng(4)

    def some(n: int, *extra: str) -> list[str]:
        words = ["the", "film", "was", "long", "and", "good", "bad", "so", "!", *extra * 3]
        return [" ".join(rng.choice(words, size=rng.integers(15, 25))) for _ in range(n)]

    usual, strange = some(N), some(N, "obey", "now")
    return {"trusted": usual, "reference": usual, "suspects": strange, "fresh": some(100)}


def cases() -> list[Case]:
    """Every score there is."""
    vectors, far, labels = _vectors()
    outputs, texts = _outputs(), _texts()
    bad = vectors["trusted"][~labels["good"]].mean(0, keepdim=True) * 6 - vectors["trusted"].mean(0) * 5
    on_vectors = {
        "mahalanobis": Mahalanobis(),
        "mahalanobis, Ledoit-Wolf": Mahalanobis("ledoit-wolf"),
        "mahalanobis, nonlinear": Mahalanobis("nonlinear"),
        "mahalanobis, share": Mahalanobis(0.1),
        "relative mahalanobis": RelativeMahalanobis(),
        "diagonal": Diagonal(),
        "PCA residual": PCAResidual(),
        "PCA residual, k": PCAResidual(k=5),
        "Laplace": Laplace(),
        "likelihood ratio": LikelihoodRatio(),
        "quantum entropy": QuantumEntropy(),
        "SPECTRE": SPECTRE(),
        "SPECTRE, k": SPECTRE(k=2),
        "spectral signature": SpectralSignature(),
        "neighbours": NearestNeighbours(),
        "neighbours, bounded": NearestNeighbours(k=3, bound=50),
        "LOF": LOF(),
        "LOF, bounded": LOF(k=5, bound=50),
        "isolation forest": IsolationForest(trees=50, rows=64),
        "one-class SVM": OneClassSVM(),
        "flow": Flow(hidden=16, steps=40),
        "flow, few directions": Flow(directions=3, hidden=8, steps=20),
        "VAE": VAE(code=2, hidden=16, steps=40),
        "Beatrix": Beatrix(),
        "tampering probe": TamperingProbe(),
        "ceiling": Ceiling(),
        "dirtiness probe": DirtinessProbe(),
    }
    latents, new = _latents()
    traces, apart = _traces()
    centre = vectors["trusted"].mean(0, keepdim=True)
    high = centre + 10 * vectors["trusted"].std(0)
    few = HeadTraining(steps=60, batch=64)
    on_outcomes = {
        "trusted probe": TrustedProbe("good"),
        "mean difference": MeanDifference("good"),
        "LDA": LDA("good"),
        "concept removal": ConceptRemoval("good"),
        "simplicity, L2": SimplicityProbe("good"),
        "simplicity, L1": SimplicityProbe("good", by="l1"),
        "simplicity, code": SimplicityProbe("good", by="code"),
        "speed": SpeedProbe("good"),
        "DivDis": DiverseHeads("good", "divdis", training=few),
        "DivDis, three heads": DiverseHeads("good", "divdis", training=HeadTraining(heads=3, steps=60)),
        "ACE": DiverseHeads("good", training=few),
        "ACE, oracle": DiverseHeads("good", "ace_prob", "oracle", training=few),
        "ACE, hidden": DiverseHeads("good", "ace_exp", 1, training=HeadTraining(hidden=8, steps=60)),
        "D-BAT": DiverseHeads("good", "dbat", 0, inputs="suspects", training=few),
    }
    pairs, far_pair = _pairs()
    on_pairs = {
        "CCS": CCS("good", restarts=3),
        "CCS, unsupervised": CCS(restarts=3),
        "CRC": CRC("good"),
        "VINC": VINC("good"),
        "contrast mean difference": Contrast(MeanDifference("good")),
        "contrast LDA": Contrast(LDA("good")),
        "contrast probe": Contrast(TrustedProbe("good")),
    }
    doubtful = {
        "confidence": (Confidence(), [0.1, 0, 0, 0]),
        "itself": (Itself(), [9.0, 0, 0, 0]),
        "untrusted baseline": (UntrustedBaseline(), [-9.0, 0, 0, 0]),
        "delta": (Delta(), [4.0, 0.1, 0.1, 0.1]),
    }
    obey = ["obey now obey now ! obey now so now obey"]
    return [
        *(Case(name, score, vectors, far, labels) for name, score in on_vectors.items()),
        *(Case(name, score, vectors, bad, labels) for name, score in on_outcomes.items()),
        Case("Beatrix, classes", Beatrix("good", coordinates=6), vectors, high * 3, labels),
        *(Case("PyOD", PyOD("knn.KNN"), vectors, far, {}) for _ in range(bool(find_spec("pyod")))),
        Case("above", Above(), vectors, high, {}),
        Case("likelihood ratio, EM", LikelihoodRatio(em_steps=20), vectors, 0.9 * centre + 0.1 * far, labels),
        Case("PCA Mahalanobis", PCAMahalanobis(), vectors, high, {}),
        Case("PCA Mahalanobis, k", PCAMahalanobis(k=5), vectors, high, {}),
        Case("L0", L0(), latents, new, {}),
        Case("L0, rare", L0(threshold=0.5, rare=0.1), latents, new, {}),
        Case("coupling", Coupling(), traces, apart, {}),
        Case("coupling, covariance", Coupling("covariance", "mean"), traces, apart, {}),
        Case("random probe", RandomProbe("good"), vectors, None, labels),
        Case("shuffled probe", ShuffledProbe("good"), vectors, None, labels),
        *(Case(name, score, pairs, far_pair, {"good": GOOD_PAIRS}) for name, score in on_pairs.items()),
        *(Case(name, score, outputs, torch.tensor([row]), {}) for name, (score, row) in doubtful.items()),
        Case("surface", Surface(), texts, obey, {}),
        Case("surface, label", Surface("good"), texts, ["bad bad bad bad"], {"good": _praise(texts)}),
        Case("surface length", SurfaceLength(), texts, ["film " * 300], {}),
    ]


def _praise(texts: Mapping[str, list[str]]) -> np.ndarray:
    return np.array([text.count("good") > text.count("bad") for text in texts["trusted"]])

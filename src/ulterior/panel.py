"""The one pass: detectors are fitted together and score together, with a single forward an example."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ulterior.calibration import Calibration, calibrate
from ulterior.detectors.detector import Detector
from ulterior.errors import InputError
from ulterior.examples import Examples, concat
from ulterior.features.feature import Feature
from ulterior.features.preparing import prepare
from ulterior.features.reading import begin, read
from ulterior.fitting import PASS, FittedDetector, Fitters, Seconds, fit_scores, score_stream, timed
from ulterior.spill import Spill
from ulterior.subject import Subject

Condition = Callable[[Examples], np.ndarray]


@dataclass(frozen=True)
class PanelSettings:
    """How a panel is fitted.

    Attributes:
        held_out: Share of the trusted examples (of those that meet the condition) kept for calibration.
        seed: Decides which ones.
        batch_tokens: Size of a forward batch in tokens, padding included; what suits the device if not given.
        scratch: Folder for what does not fit in memory; the system's temporary folder if not given.
        progress: Whether to show a progress bar.
    """

    held_out: float = 0.3
    seed: int = 0
    batch_tokens: int | None = None
    scratch: Path | None = None
    progress: bool = False


@dataclass(frozen=True, eq=False)
class DetectorScores:
    """What one detector says of ``n`` examples.

    Attributes:
        keys: Names of the sites (with position): the columns of the next two.
        site_scores: Raw scores ``[n, keys]``.
        site_p: p-values ``[n, keys]`` of the single sites.
        fused: The detector's one number ``[n]``; higher is more anomalous.
        p: Conformal p-value ``[n]``: of trusted examples, at most a share ``alpha`` has ``p <= alpha``.
    """

    keys: tuple[str, ...]
    site_scores: np.ndarray
    site_p: np.ndarray
    fused: np.ndarray
    p: np.ndarray

    def strangest_sites(self, row: int, most: int = 3) -> dict[str, float]:
        """The sites with the smallest p-values for one example, smallest first."""
        order = np.argsort(self.site_p[row], kind="stable")[:most]
        return {self.keys[index]: float(self.site_p[row, index]) for index in order}


@dataclass(frozen=True, eq=False)
class FittedPanel:
    """Detectors that were fitted and calibrated together.

    Attributes:
        detectors: Those that could be fitted.
        calibrations: How raw scores become p-values, by detector.
        reference: Raw scores ``[m, keys]`` of the held-out trusted examples, by detector.
        skipped: Why the others could not be fitted, by detector.
        seconds: Time spent by each detector itself, and under ``pass`` on the forward passes that all share.
    """

    detectors: tuple[FittedDetector, ...]
    calibrations: Mapping[str, Calibration]
    reference: Mapping[str, np.ndarray]
    skipped: Mapping[str, str]
    seconds: Seconds = field(default_factory=dict)

    def score(
        self, subject: Subject, examples: Examples, settings: PanelSettings | None = None
    ) -> dict[str, DetectorScores]:
        """Run the subject once over the examples; every detector scores them."""
        settings = settings or PanelSettings()
        features = _features([fitted.detector for fitted in self.detectors])
        stream = _read(subject, examples, features, settings, "score")
        return self.judge(score_stream(self.detectors, stream, len(examples), self.seconds))

    def judge(self, site_scores: Mapping[str, np.ndarray]) -> dict[str, DetectorScores]:
        """Turn raw scores ``[n, keys]`` of each detector into p-values and one fused number an example."""
        keys = {fitted.detector.name: tuple(fitted.scores) for fitted in self.detectors}
        judged = {}
        for name, scores in site_scores.items():
            verdict = self.calibrations[name](scores)
            judged[name] = DetectorScores(keys[name], scores, verdict.site_p, verdict.fused, verdict.p)
        return judged


def fit_panel(
    detectors: Sequence[Detector],
    subject: Subject,
    trusted: Examples,
    untrusted: Examples | None = None,
    *,
    condition: Condition | None = None,
    settings: PanelSettings | None = None,
) -> FittedPanel:
    """Fit all detectors from one forward pass over the trusted and untrusted examples.

    Args:
        detectors: What to fit; names must differ.
        subject: The model under examination.
        trusted: Examples with the usual mechanism; a part is held out for calibration.
        untrusted: Examples of unknown mechanism, for the detectors that compare the two.
        condition: Which rows are in the state that is examined (all measurements positive, say).
        settings: Shares, seed, batch size.

    Raises:
        InputError: names that repeat, too few trusted examples, or no detector that could be fitted.
    """
    return _fit(detectors, subject, trusted, untrusted, condition, settings or PanelSettings(), spill=None)


def fit_and_score_untrusted(
    detectors: Sequence[Detector],
    subject: Subject,
    trusted: Examples,
    untrusted: Examples,
    *,
    settings: PanelSettings | None = None,
) -> tuple[FittedPanel, dict[str, DetectorScores]]:
    """Fit on both sets and score the untrusted one, still with a single forward an example.

    The untrusted examples' features wait on disk (see ``Spill``) until the fit is done.
    """
    settings = settings or PanelSettings()
    with _scratch(settings) as folder:
        spill = Spill(folder)
        panel = _fit(detectors, subject, trusted, untrusted, None, settings, spill)
        scores = score_stream(panel.detectors, spill.replay(), len(untrusted), panel.seconds)
        return panel, panel.judge(scores)


def split_trusted(
    trusted: Examples, condition: Condition | None, settings: PanelSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to fit on and to hold out for calibration; only rows that meet the condition are held out."""
    eligible = np.arange(len(trusted)) if condition is None else np.flatnonzero(condition(trusted))
    n_held = round(len(eligible) * settings.held_out)
    if n_held < 3 or len(eligible) - n_held < 2:
        raise InputError(
            f"{len(eligible)} usable trusted examples are too few to fit and to calibrate on"
            f" ({settings.held_out:.0%} are held out); give at least 10"
        )
    held = np.sort(np.random.default_rng(settings.seed).permutation(eligible)[:n_held])
    return np.setdiff1d(np.arange(len(trusted)), held), held


def _fit(
    detectors: Sequence[Detector],
    subject: Subject,
    trusted: Examples,
    untrusted: Examples | None,
    condition: Condition | None,
    settings: PanelSettings,
    spill: Spill | None,
) -> FittedPanel:
    _check_names(detectors)
    fit_rows, held_rows = split_trusted(trusted, condition, settings)
    parts = [trusted.take(fit_rows), *([untrusted] if untrusted is not None else [])]
    examples, is_trusted = concat(parts), np.repeat([True, False], [len(fit_rows), len(untrusted or ())])
    features, started = _features(detectors), time.perf_counter()
    ready, unread = prepare(
        features, subject, parts[0], seed=settings.seed, batch_tokens=settings.batch_tokens
    )
    stream, refused = begin(subject, examples, list(ready.values()), **_how(settings, "fit"))
    unread |= {feature: refused[one] for feature, one in ready.items() if one in refused}
    unfit = {one.name: unread[one.feature] for one in detectors if one.feature in unread}
    detectors = [replace(one, feature=ready[one.feature]) for one in detectors if one.name not in unfit]
    seconds: Seconds = {PASS: time.perf_counter() - started}
    with _scratch(settings) as folder:
        fitters = Fitters(detectors, _groups(parts, is_trusted, condition), folder)
        for rows, reading in timed(stream, seconds):
            fitters.update(rows, reading)
            if spill is not None:
                spill.append(rows - len(fit_rows), reading, keep=~is_trusted[rows])
        fitted, skipped = fit_scores(detectors, fitters, examples, seconds)
        skipped = unfit | skipped
    if not fitted:
        raise InputError(
            "no detector could be fitted; " + "; ".join(f"{n}: {why}" for n, why in skipped.items())
        )

    held = trusted.take(held_rows)
    stream = _read(subject, held, _features([one.detector for one in fitted]), settings, "calibrate")
    reference = score_stream(fitted, stream, len(held), seconds)
    calibrations = {
        one.detector.name: calibrate(reference[one.detector.name], one.detector.fusion, settings.seed)
        for one in fitted
    }
    return FittedPanel(tuple(fitted), calibrations, reference, skipped, seconds)


def _groups(
    parts: Sequence[Examples], is_trusted: np.ndarray, condition: Condition | None
) -> dict[str, np.ndarray]:
    examined = (
        np.ones_like(is_trusted)
        if condition is None
        else np.concatenate([np.asarray(condition(part), dtype=bool) for part in parts])
    )
    return {
        "trusted": is_trusted,
        "reference": is_trusted & examined,
        "untrusted": ~is_trusted,
        "suspects": ~is_trusted & examined,
    }


def _features(detectors: Sequence[Detector]) -> list[Feature]:
    return list(dict.fromkeys(detector.feature for detector in detectors))


def _read(
    subject: Subject, examples: Examples, features: list[Feature], settings: PanelSettings, step: str
) -> Any:
    return read(subject, examples, features, **_how(settings, step))


def _how(settings: PanelSettings, step: str) -> dict[str, Any]:
    return {
        "batch_tokens": settings.batch_tokens,
        "progress": step if settings.progress else None,
    }


def _check_names(detectors: Sequence[Detector]) -> None:
    names = [detector.name for detector in detectors]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or not names:
        raise InputError(
            f"detectors of one panel need different names; repeated: {', '.join(repeated) or 'none given'}"
        )


@contextmanager
def _scratch(settings: PanelSettings) -> Any:
    try:
        with tempfile.TemporaryDirectory(prefix="ulterior-", dir=settings.scratch) as folder:
            yield Path(folder)
    except OSError as error:
        raise InputError(
            f"cannot use the scratch folder '{settings.scratch or tempfile.gettempdir()}': {error}"
        ) from error

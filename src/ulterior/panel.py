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

from ulterior.calibration import Calibration, Drift, calibrate, drift
from ulterior.detectors.detector import Detector
from ulterior.errors import InputError
from ulterior.examples import Examples, concat
from ulterior.features.feature import Feature
from ulterior.features.preparing import begin_prepared
from ulterior.features.reading import read
from ulterior.fitting import PASS, FittedDetector, Fitters, Seconds, fit_scores, score_stream, timed
from ulterior.spill import Spill
from ulterior.subject import Subject

Condition = Callable[[Examples], np.ndarray]
HALF = ", fitted on half "


@dataclass(frozen=True)
class PanelSettings:
    """How a panel is fitted.

    Attributes:
        held_out: Share of the trusted examples (of those that meet the condition) kept for calibration.
        seed: Decides which ones.
        batch_tokens: Size of a forward batch in tokens, padding included; what suits the device if not given.
        scratch: Folder for what does not fit in memory; the system's temporary folder if not given.
        progress: Whether to show a progress bar.
        cross_fit: Whether ``fit_and_score_untrusted`` fits offline detectors on each half of the untrusted examples
            and has them score the other, so that their p-values hold; they then learn from half as many.
    """

    held_out: float = 0.3
    seed: int = 0
    batch_tokens: int | None = None
    scratch: Path | None = None
    progress: bool = False
    cross_fit: bool = False


@dataclass(frozen=True, eq=False)
class DetectorScores:
    """What one detector says of ``n`` examples.

    Attributes:
        keys: Names of the sites (with position): the columns of the next two.
        site_scores: Raw scores ``[n, keys]``.
        site_p: p-values ``[n, keys]`` of the single sites.
        fused: The detector's one number ``[n]``; higher is more anomalous.
        p: Conformal p-value ``[n]``: of trusted examples, at most a share ``alpha`` has ``p <= alpha``.
        in_sample: Whether the detector was fitted on these very examples; then ``p`` is too small.
    """

    keys: tuple[str, ...]
    site_scores: np.ndarray
    site_p: np.ndarray
    fused: np.ndarray
    p: np.ndarray
    in_sample: bool = False

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

    def drift(self, scores: Mapping[str, DetectorScores]) -> dict[str, Drift]:
        """Whether a batch as a whole scores otherwise than trusted examples: a p-value and an effect by detector.

        Of batches of trusted examples, a share ``alpha`` has ``p <= alpha``, but not of examples that a detector was
        fitted on (``in_sample``). A batch may drift with none of its examples strange enough to be flagged.

        Raises:
            InputError: a detector that is not of this panel, or no examples.
        """
        for name in scores:
            if name not in self.calibrations:
                raise InputError(f"'{name}' is not in this panel; it has: {', '.join(self.calibrations)}")
        return {name: drift(self.calibrations[name].reference, one.fused) for name, one in scores.items()}


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

    Features that must know trusted examples before they can be read (a mean ablation, a probe) share one more forward
    over a bounded sample of those that are fitted on; see ``prepare``. A detector whose feature this subject cannot
    give is left out, with the reason.

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

    Offline detectors are fitted on the examples that they judge, and flag too many of them, unless
    ``settings.cross_fit``. With it, the panel that is returned is the same, fitted on all; the scores of each half of
    the untrusted examples come from detectors that were fitted on the other half and calibrated by themselves.
    """
    settings = settings or PanelSettings()
    with _scratch(settings) as folder:
        spill = Spill(folder)
        panel = _fit(detectors, subject, trusted, untrusted, None, settings, spill)
        scores = score_stream(panel.detectors, spill.replay(), len(untrusted), panel.seconds)
        judged = panel.judge(scores)
        if settings.cross_fit:
            return _without_halves(panel), _crossed(panel, judged, _halves(len(untrusted), settings))
        offline = {one.detector.name for one in panel.detectors if one.detector.mode == "offline"}
        return panel, {name: replace(one, in_sample=name in offline) for name, one in judged.items()}


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
    stream, ready, unread = begin_prepared(
        features, subject, parts[0], examples, seed=settings.seed, **_how(settings, "fit")
    )
    unfit = {one.name: unread[one.feature] for one in detectors if one.feature in unread}
    detectors = [replace(one, feature=ready[one.feature]) for one in detectors if one.name not in unfit]
    seconds: Seconds = {PASS: time.perf_counter() - started}
    with _scratch(settings) as folder:
        plans = [(detectors, _groups(parts, is_trusted, condition))]
        if spill is not None and settings.cross_fit:
            plans += _half_plans(*plans[0], _halves(len(examples) - len(fit_rows), settings))
        fitters = [Fitters(some, groups, folder) for some, groups in plans]
        for rows, reading in timed(stream, seconds):
            for one in fitters:
                one.update(rows, reading)
            if spill is not None:
                spill.append(rows - len(fit_rows), reading, keep=~is_trusted[rows])
        fitted: list[FittedDetector] = []
        skipped: dict[str, str] = {}
        for (some, _), gathered in zip(plans, fitters, strict=True):
            more, reasons = fit_scores(some, gathered, examples, seconds)
            fitted, skipped = fitted + more, skipped | reasons
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


def _halves(n: int, settings: PanelSettings) -> np.ndarray:
    """Which of the untrusted examples are in the second half: a mask ``[n]`` of a random draw."""
    return np.random.default_rng((settings.seed, 1)).permutation(n) % 2 == 1


def _half_plans(
    detectors: Sequence[Detector], groups: Mapping[str, np.ndarray], second: np.ndarray
) -> list[tuple[Sequence[Detector], dict[str, np.ndarray]]]:
    """The offline detectors under two further names, each with groups that lack the other half's untrusted rows."""
    offline = [one for one in detectors if one.mode == "offline"]
    plans = []
    for half in (0, 1):
        inside = np.ones(len(groups["untrusted"]), bool)
        inside[groups["untrusted"]] = second == half
        named = [replace(one, name=f"{one.name}{HALF}{half}") for one in offline]
        plans.append((named, {name: mask & inside for name, mask in groups.items()}))
    return plans


def _crossed(
    panel: FittedPanel, judged: Mapping[str, DetectorScores], second: np.ndarray
) -> dict[str, DetectorScores]:
    """Of each offline detector, what either half's examples score by the fit on the other half."""
    crossed = {}
    for name in _without_halves(panel).calibrations:
        if f"{name}{HALF}0" not in judged:
            crossed[name] = judged[name]
            continue
        by_first, by_second = (judged[f"{name}{HALF}{half}"] for half in (0, 1))
        crossed[name] = _picked(second, by_first, by_second)
    return crossed


def _picked(second: np.ndarray, one: DetectorScores, other: DetectorScores) -> DetectorScores:
    """``one`` of the rows in the mask, ``other`` of the rest."""
    if one.keys != other.keys:
        raise InputError(
            f"fitted on halves, a detector chose {', '.join(one.keys)} and {', '.join(other.keys)}, and so cannot"
            " be cross-fitted; leave it out, or do without cross-fitting"
        )

    def of(part: str) -> np.ndarray:
        first, rest = getattr(one, part), getattr(other, part)
        return np.where(second if first.ndim == 1 else second[:, None], first, rest)

    return DetectorScores(one.keys, of("site_scores"), of("site_p"), of("fused"), of("p"))


def _without_halves(panel: FittedPanel) -> FittedPanel:
    """The panel of the detectors that were fitted on all rows; one that a half could not be fitted of is left out."""
    skipped = {name.split(HALF)[0]: why for name, why in panel.skipped.items()}
    seconds: Seconds = {}
    for name, spent in panel.seconds.items():
        own = name.split(HALF)[0]
        seconds[own] = seconds.get(own, 0.0) + spent
    kept = [
        one for one in panel.detectors if HALF not in one.detector.name and one.detector.name not in skipped
    ]
    names = [one.detector.name for one in kept]
    return FittedPanel(
        tuple(kept),
        {name: panel.calibrations[name] for name in names},
        {name: panel.reference[name] for name in names},
        skipped,
        seconds,
    )


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

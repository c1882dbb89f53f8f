"""The one pass: suspects, trusted and test examples become features and scores; no round runs the model again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from ulterior.calibration import Calibration, calibrate
from ulterior.detectors.detector import Detector
from ulterior.errors import InputError
from ulterior.examples import Examples, concat
from ulterior.features.feature import Feature, Values
from ulterior.features.preparing import begin_prepared
from ulterior.fitting import FittedDetector, Fitters, Seconds, fit_scores, score_stream, timed
from ulterior.panel import PanelSettings, split_trusted
from ulterior.scores.linear import vectors
from ulterior.scores.store import StoreFitter
from ulterior.serialise import saved
from ulterior.spill import Spill
from ulterior.subject import Subject

Condition = Callable[[Examples], np.ndarray]
CONFIDENCE = "confidence"
BOUND = 20_000


@saved
@dataclass(frozen=True, eq=False)
class Seen:
    """Some examples as the rounds see them.

    Attributes:
        rows: Their row numbers ``[n]`` in the table that was given, ascending.
        x: What the probe reads, ``[n, d]`` float32.
        scores: What each detector says of them, ``[n]``; higher is more anomalous.
    """

    rows: Int[np.ndarray, " n"]
    x: Float[np.ndarray, "n d"]
    scores: Mapping[str, Float[np.ndarray, " n"]]

    def __len__(self) -> int:
        return len(self.rows)


@saved
@dataclass(frozen=True, eq=False)
class Pool:
    """All that the rounds need, read once.

    Attributes:
        subject: Name of the model.
        fingerprint: Of the model.
        start: The fitted detector that ranks before there are labels.
        calibration: How its raw scores become one number.
        probe: What the probe reads.
        keys: The probe's keys (sites with position), in the order in which they stand side by side in ``x``.
        usual: Trusted examples in the condition, on which the detectors were fitted.
        held: Trusted examples in the condition that nothing is fitted on; they calibrate.
        suspects: Untrusted examples in the condition: those that may be labelled.
        site_p: What the start detector says of each suspect site by site: p-values ``[n, sites]``.
        test: The examples that are only evaluated on, if any.
        skipped: Detectors that could not be fitted, and why.
        seconds: Of the pass and of each detector.
    """

    subject: str
    fingerprint: str
    start: FittedDetector
    calibration: Calibration
    probe: Feature
    keys: tuple[str, ...]
    usual: Seen
    held: Seen
    suspects: Seen
    site_p: Float[np.ndarray, "n sites"]
    test: Seen | None
    skipped: Mapping[str, str]
    seconds: Mapping[str, float]


def fill_pool(
    subject: Subject,
    trusted: Examples,
    untrusted: Examples,
    test: Examples | None = None,
    *,
    detectors: Sequence[Detector],
    start: str,
    probe: Feature,
    condition: Condition | None = None,
    bound: int = BOUND,
    settings: PanelSettings | None = None,
) -> Pool:
    """Run the subject once over all examples, fit the detectors, and keep what the rounds will need.

    What is scored later waits on disk; in memory are the detectors' statistics, and at the end the probe's features of
    at most ``bound`` trusted and ``bound`` untrusted examples (uniform samples) and of the test examples.

    Args:
        subject: The model under examination.
        trusted: Examples with the usual mechanism; a part is held out for calibration.
        untrusted: Examples of unknown mechanism. Truth, where a column holds it, is read by ceilings alone.
        test: Examples to evaluate on; never fitted on, never labelled.
        detectors: What to fit; ``start`` must be among them, ``confidence`` should be.
        start: Name of the detector that ranks before there are labels.
        probe: What the probe reads: vectors, one a key and example.
        condition: Which rows are examined; every row if not given.
        bound: The most suspects that are kept.
        settings: Shares, seed, batch size, scratch folder.

    Raises:
        InputError: too few examples, no suspects, or a start detector that cannot be read or fitted.
    """
    settings = settings or PanelSettings()
    if start not in {detector.name for detector in detectors}:
        raise InputError(f"the detectors lack '{start}', which is to rank first")
    parts = [part for part in (trusted, untrusted, test) if part is not None]
    examples, sizes = concat(parts), [len(part) for part in parts]
    groups = _groups(trusted, untrusted, sizes, condition, settings)
    features = list(dict.fromkeys([probe, *(detector.feature for detector in detectors)]))
    fitted_on = trusted.take(np.flatnonzero(groups["trusted"][: len(trusted)]))
    stream, ready, unread = begin_prepared(
        features,
        subject,
        fitted_on,
        examples,
        seed=settings.seed,
        batch_tokens=settings.batch_tokens,
        progress="read" if settings.progress else None,
    )
    unfit = {one.name: unread[one.feature] for one in detectors if one.feature in unread}
    if probe in unread or start in unfit:
        raise InputError(unread.get(probe) or _no_start(start, unfit[start]))
    detectors = [replace(one, feature=ready[one.feature]) for one in detectors if one.name not in unfit]
    probe, seconds = ready[probe], Seconds()
    with tempfile.TemporaryDirectory(prefix="ulterior-", dir=settings.scratch) as scratch:
        folder = Path(scratch)
        fitters = Fitters(detectors, groups, folder)
        kept = {
            name: _Vectors(bound if name != "test" else len(examples), folder, groups[name])
            for name in ("usual", "held", "suspects", "test")
        }
        spill = Spill(folder)
        later = groups["held"] | groups["suspects"] | groups["test"]
        for rows, reading in timed(stream, seconds):
            fitters.update(rows, reading)
            for one in kept.values():
                one.update(rows, reading[probe])
            spill.append(rows, reading, keep=later[rows])
        fitted, skipped = fit_scores(detectors, fitters, examples, seconds)
        if start in skipped:
            raise InputError(_no_start(start, skipped[start]))
        raw = score_stream(fitted, spill.replay(), len(examples), seconds)
        keys = kept["suspects"].keys
        stored = {name: one.finish() for name, one in kept.items() if groups[name].any()}
    held = np.flatnonzero(groups["held"])
    calibrations = {
        one.detector.name: calibrate(raw[one.detector.name][held], one.detector.fusion, settings.seed)
        for one in fitted
    }

    def seen(name: str, first: int) -> Seen:
        x, rows = stored[name]
        own = calibrations.items() if name != "usual" else ()
        return Seen(rows - first, x, {one: rule(raw[one][rows]).fused for one, rule in own})

    return Pool(
        subject.name,
        subject.fingerprint(),
        next(one for one in fitted if one.detector.name == start),
        calibrations[start],
        probe,
        keys,
        seen("usual", 0),
        seen("held", 0),
        seen("suspects", sizes[0]),
        calibrations[start](raw[start][stored["suspects"][1]]).site_p,
        seen("test", sizes[0] + sizes[1]) if test is not None else None,
        unfit | skipped,
        {name: round(spent, 3) for name, spent in seconds.items()},
    )


def _no_start(start: str, why: str) -> str:
    return f"the detector '{start}', which ranks first, cannot be fitted: {why}"


def _groups(
    trusted: Examples,
    untrusted: Examples,
    sizes: Sequence[int],
    condition: Condition | None,
    settings: PanelSettings,
) -> dict[str, Bool[np.ndarray, " n"]]:
    """Masks over trusted, untrusted and test rows in this order: the scores' groups, and ours beside them."""
    fit_rows, held_rows = split_trusted(trusted, condition, settings)
    whole = np.zeros(sum(sizes), bool)

    def mask(rows: np.ndarray) -> Bool[np.ndarray, " n"]:
        chosen = whole.copy()
        chosen[rows] = True
        return chosen

    examined = [
        np.ones(len(part), bool) if condition is None else np.asarray(condition(part), dtype=bool)
        for part in (trusted, untrusted)
    ]
    if not examined[1].any():
        raise InputError(f"none of the {len(untrusted)} untrusted examples meets the condition")
    fit = mask(fit_rows)
    usual = fit & mask(np.flatnonzero(examined[0]))
    suspects = mask(sizes[0] + np.flatnonzero(examined[1]))
    return {
        "trusted": fit,
        "reference": usual,
        "untrusted": mask(np.arange(sizes[0], sizes[0] + sizes[1])),
        "suspects": suspects,
        "usual": usual,
        "held": mask(held_rows),
        "test": mask(np.arange(sizes[0] + sizes[1], len(whole))),
    }


class _Vectors:
    """What the probe reads of one group of rows: its keys side by side, at most ``bound`` rows, on disk."""

    def __init__(self, bound: int, folder: Path, inside: Bool[np.ndarray, " n"]) -> None:
        self._bound, self._folder, self._inside = bound, folder, inside
        self._fitter: StoreFitter | None = None
        self.keys: tuple[str, ...] = ()

    def update(self, rows: np.ndarray, values: Mapping[str, Values]) -> None:
        chosen = self._inside[rows]
        if not chosen.any():
            return
        x = side_by_side(values, self.keys)
        self.keys = tuple(values)
        if self._fitter is None:
            self._fitter = StoreFitter(x.shape[1], self._bound, self._folder)
        self._fitter.update(x[torch.as_tensor(chosen)], rows[chosen])

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """The vectors ``[m, d]`` and their row numbers ``[m]``, ascending."""
        if self._fitter is None:
            raise InputError("a group without examples has nothing for the probe to read")
        stored = self._fitter.finish()
        return vectors(stored.x).numpy().copy(), stored.rows


def side_by_side(values: Mapping[str, Values], keys: Sequence[str] = ()) -> Float[torch.Tensor, "n d"]:
    """The vectors of all keys (in this order, if given), one row an example.

    Raises:
        InputError: text, or one vector a token.
    """
    columns: list[torch.Tensor] = []
    for key in keys or values:
        value = values[key]
        if not isinstance(value, torch.Tensor):
            raise InputError(
                f"the probe needs one vector an example, and '{key}' has text or one a token; read another position"
            )
        columns.append(value.float().cpu())
    return torch.cat(columns, dim=1)

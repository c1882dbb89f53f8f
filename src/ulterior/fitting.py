"""Feeding every fitter of a panel from one stream of readings, and turning what they gathered into scores."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ulterior.detectors.detector import Detector
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.feature import Feature, Tokens, Values
from ulterior.features.reading import Reading
from ulterior.scores.score import Columns, FittedScore, Joint, JointFitted, Score, Selects
from ulterior.scores.statistics import Fitter, Statistic
from ulterior.serialise import saved
from ulterior.spill import select

Address = tuple[Feature, str, Statistic]
Seconds = dict[str, float]
PASS = "pass"
ALL_SITES = "all sites"


@saved
@dataclass(frozen=True, eq=False)
class FittedDetector:
    """One detector after the pass: a fitted score for each key (a site with its position).

    A score that joins sites stands under one key for each position, such as ``all sites@last``.
    """

    detector: Detector
    scores: Mapping[str, FittedScore | JointFitted]

    def __call__(self, reading: Mapping[str, Values], n: int) -> np.ndarray:
        """Scores ``[n, keys]`` of a batch of ``n`` examples, higher = more anomalous."""
        return np.stack([score_examples(one, key, reading, n) for key, one in self.scores.items()], axis=1)


def score_examples(
    score: FittedScore | JointFitted, key: str, reading: Mapping[str, Values], n: int
) -> np.ndarray:
    """Scores ``[n]``; where tokens are read one by one, an example counts with its most anomalous token."""
    if isinstance(score, JointFitted):
        raw = score({one: _rows(reading[one]) for one in score.reads})
        value = reading[score.reads[0]]  # all have the same tokens
    else:
        value = reading[key]
        raw = score(_rows(value))
    numbers = raw.cpu().numpy().astype(np.float64)
    if not isinstance(value, Tokens):
        return numbers
    largest = np.full(n, -np.inf)
    np.maximum.at(largest, torch.as_tensor(value.owner).cpu().numpy(), numbers)
    return largest


def _rows(value: Values) -> torch.Tensor | list[str]:
    return value.values if isinstance(value, Tokens) else value


class Fitters:
    """All fitters of a panel: one for each feature, key and statistic, however many detectors share it."""

    def __init__(
        self, detectors: Sequence[Detector], groups: Mapping[str, np.ndarray], scratch: Path
    ) -> None:
        """Prepare for rows whose membership is given by ``groups``: masks ``[n]`` over all rows to come."""
        self._groups, self._scratch = groups, scratch
        self._needs: dict[Feature, dict[Statistic, None]] = defaultdict(dict)
        for detector in detectors:
            self._needs[detector.feature].update(dict.fromkeys(detector.score.needs))
        self._fitters: dict[Address, Fitter] = {}
        self.keys: dict[Feature, tuple[str, ...]] = {}

    def update(self, rows: np.ndarray, reading: Reading) -> None:
        """Take in one batch, whose examples have these row numbers ``[n]``."""
        inside = {name: mask[rows] for name, mask in self._groups.items()}
        for feature, statistics in self._needs.items():
            self.keys.setdefault(feature, tuple(reading[feature]))
            for key, value in reading[feature].items():
                # A batch is cut once for each group, then shared by all statistics of that group.
                groups = {statistic.group for statistic in statistics}
                parts = {name: _part(value, rows, inside[name]) for name in groups if inside[name].any()}
                for statistic in statistics:
                    if statistic.group in parts:
                        self._fitter((feature, key, statistic), value).update(*parts[statistic.group])

    def finish(self) -> dict[Address, Any]:
        """What each fitter gathered, or the ``InputError`` that says why that is not enough: one row has no spread.

        Statistics of groups without examples are absent.
        """
        found: dict[Address, Any] = {}
        for address, fitter in self._fitters.items():
            try:
                found[address] = fitter.finish()
            except InputError as error:  # only the detectors that need it are left out
                found[address] = error
        return found

    def _fitter(self, address: Address, value: Values) -> Fitter:
        if address not in self._fitters:
            raw = _rows(value)
            width = None if isinstance(raw, list) else raw.shape[1]
            self._fitters[address] = address[2].start(width, self._scratch)
        return self._fitters[address]


def fit_scores(
    detectors: Sequence[Detector], fitters: Fitters, examples: Examples, seconds: Seconds
) -> tuple[list[FittedDetector], dict[str, str]]:
    """Fit every detector to what was gathered.

    Returns:
        The fitted detectors, and for the others (by name) why they could not be fitted.
    """
    finished = fitters.finish()

    def columns(group: str, name: str, rows: np.ndarray) -> np.ndarray:
        # Rows first: a column may be null in the part of the table that the score does not ask about.
        return examples.only(name).take(rows)[name]

    fitted: list[FittedDetector] = []
    skipped: dict[str, str] = {}
    for detector in detectors:
        start = time.perf_counter()
        try:
            given = {
                key: {need: finished.get((detector.feature, key, need)) for need in detector.score.needs}
                for key in fitters.keys[detector.feature]
            }
            scores = _fit_score(detector.score, given, columns)
            fitted.append(FittedDetector(detector, scores))
        except InputError as error:
            skipped[detector.name] = str(error)
        _add(seconds, detector.name, start)
    return fitted, skipped


def _fit_score(
    score: Score | Joint, given: Mapping[str, Mapping[Statistic, Any]], columns: Columns
) -> dict[str, FittedScore | JointFitted]:
    """The score fitted at each key, or once for all keys of a position."""
    for statistics in given.values():
        absent = [need.group for need, statistic in statistics.items() if statistic is None]
        if absent:
            raise InputError(f"there are no {absent[0]} examples to fit on")
        for statistic in statistics.values():
            if isinstance(statistic, InputError):
                raise statistic
    if isinstance(score, Joint):
        places: dict[str, dict[str, Mapping[Statistic, Any]]] = defaultdict(dict)
        for key, statistics in given.items():
            _, at, position = key.rpartition("@")
            places[f"{ALL_SITES}{at}{position}" if at else ALL_SITES][key] = statistics
        return {name: score.fit_all(together, columns) for name, together in places.items()}
    scores = {key: score.fit(statistics, columns) for key, statistics in given.items()}
    if isinstance(score, Selects):
        return {key: scores[key] for key in score.select(scores)}
    return dict(scores)


def score_stream(
    detectors: Sequence[FittedDetector],
    stream: Iterator[tuple[np.ndarray, Reading]],
    n: int,
    seconds: Seconds,
) -> dict[str, np.ndarray]:
    """Raw scores ``[n, keys]`` of every detector for the ``n`` examples of a stream of readings."""
    scores = {fitted.detector.name: np.full((n, len(fitted.scores)), np.nan) for fitted in detectors}
    for rows, reading in timed(stream, seconds):
        for fitted in detectors:
            start = time.perf_counter()
            scores[fitted.detector.name][rows] = fitted(reading[fitted.detector.feature], len(rows))
            _add(seconds, fitted.detector.name, start)
    return scores


def timed(
    stream: Iterator[tuple[np.ndarray, Reading]], seconds: Seconds
) -> Iterator[tuple[np.ndarray, Reading]]:
    """Pass a stream of readings on, adding the time that the readings themselves took to ``seconds["pass"]``."""
    while True:
        start = time.perf_counter()
        item = next(stream, None)
        _add(seconds, PASS, start)
        if item is None:
            return
        yield item


def _add(seconds: Seconds, name: str, start: float) -> None:
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start


def _part(value: Values, rows: np.ndarray, mask: np.ndarray) -> tuple[torch.Tensor | list[str], np.ndarray]:
    """The values ``[m, d]`` of the examples inside the mask, and the row number of each ``[m]``."""
    chosen = select(value, mask)
    if isinstance(chosen, Tokens):
        return chosen.values, rows[mask][torch.as_tensor(chosen.owner).cpu().numpy()]
    return chosen, rows[mask]

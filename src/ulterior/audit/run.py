"""`ulterior audit`: fit on trusted examples, flag the untrusted ones that are handled in an unusual way."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro

from ulterior.audit.monitor import Monitor, SubjectOptions
from ulterior.calibration import Drift, drift
from ulterior.detectors.catalogue import activation_panel, chosen, surface
from ulterior.detectors.detector import Detector
from ulterior.detectors.features import attribution_features_panel
from ulterior.detectors.panels import further_panel
from ulterior.errors import InputError
from ulterior.examples import Examples, load_examples
from ulterior.files import writable_folder
from ulterior.panel import DetectorScores, PanelSettings, fit_and_score_untrusted
from ulterior.subject import Subject

SHOWN = PanelSettings(progress=True)
IN_SAMPLE = (
    "{name} was fitted on the untrusted examples that it judges here, so that its p-values are too small"
)


@dataclass(frozen=True)
class Audit:
    """Find the untrusted examples that the model handles in an unusual way.

    Attributes:
        subject: The model and how examples become its inputs.
        trusted: Examples whose mechanism is the usual one: JSONL, CSV, Parquet, or a hub data set.
        untrusted: Examples to examine.
        out: Folder for the report, the scores and the monitor.
        label: Column of the untrusted examples that tells which are anomalous (1 or true), to evaluate with.
        alpha: Share of trusted examples that may be flagged by mistake.
        decide: The detector whose p-value decides. Those that compare the untrusted examples with the trusted ones
            (`quantum_entropy`, `spectral_signature`, `surface`) are fitted on what they judge: good for ranking, but
            their false-alarm rate is not guaranteed.
        detectors: Names of the detectors to fit (see `ulterior list`); the usual ones by default.
        sites: Sites whose activations are read; globs such as `resid.*`, separated by commas.
        at: Position of the reading: `last`, `mean`, `all`, or a number.
        split: Split to take where a data set has several.
        panel: How the panel is fitted.
    """

    subject: Annotated[SubjectOptions, tyro.conf.arg(name="")]
    trusted: str
    untrusted: str
    out: Path
    label: str | None = None
    alpha: float = 0.01
    decide: str = "mahalanobis"
    detectors: tuple[str, ...] = ()
    sites: str = "resid.*"
    at: str = "last"
    split: str | None = None
    panel: Annotated[PanelSettings, tyro.conf.arg(name="")] = SHOWN


@dataclass(frozen=True, eq=False)
class AuditResult:
    """What an audit found.

    Attributes:
        monitor: The fitted panel with its threshold.
        untrusted: The examples that were examined.
        scores: What each detector says of them.
        drift: Whether they differ from the trusted ones as a batch, by the deciding detector.
        labels: Truth ``[n]`` (1 = anomalous) where a label column was given.
        seconds: Time of the passes and of each detector.
    """

    monitor: Monitor
    untrusted: Examples
    scores: dict[str, DetectorScores]
    drift: Drift
    labels: np.ndarray | None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def decisive(self) -> DetectorScores:
        """Scores of the detector that decides."""
        return self.scores[self.monitor.decide]

    @property
    def decided_in_sample(self) -> bool:
        """Whether the deciding detector was fitted on the examples that it judges."""
        return self.decisive.in_sample

    @property
    def flagged(self) -> np.ndarray:
        """Rows whose p-value is at most alpha, the strangest first."""
        rows = np.flatnonzero(self.decisive.p <= self.monitor.alpha)
        return rows[np.argsort(-self.decisive.fused[rows], kind="stable")]


def audit(
    subject: Subject,
    trusted: Examples,
    untrusted: Examples,
    options: SubjectOptions,
    *,
    panel: Sequence[Detector],
    decide: str,
    alpha: float = 0.01,
    label: str | None = None,
    settings: PanelSettings | None = None,
) -> AuditResult:
    """Fit a panel on trusted examples, score the untrusted ones in the same pass, and test the batch for drift.

    Raises:
        InputError: an alpha that the number of trusted examples cannot resolve, labels that are not 0 and 1, ...
    """
    settings = settings or PanelSettings()
    if not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha}; expected a false-alarm rate between 0 and 1, such as 0.01")
    labels = _labels(untrusted, label)
    fitted, scores = fit_and_score_untrusted(panel, subject, trusted, untrusted, settings=settings)
    if decide in fitted.skipped:
        raise InputError(f"the deciding detector '{decide}' could not be fitted: {fitted.skipped[decide]}")
    calibration = fitted.calibrations[decide]
    calibration.threshold(alpha)  # raises where the trusted examples are too few for this alpha
    if options.dtype == "auto":  # as it was resolved here: another machine must run the same numbers
        dtype = next((p.dtype for p in subject.model.parameters()), torch.float32)
        options = replace(options, dtype=str(dtype).removeprefix("torch."))
    monitor = Monitor(options, subject.fingerprint(), fitted, decide, alpha)
    found = drift(calibration.reference, scores[decide].fused)
    return AuditResult(monitor, untrusted, scores, found, labels, dict(fitted.seconds))


def main(config: Audit) -> AuditResult:
    """Run the command: load, audit, print, write the folder."""
    from ulterior.audit.page import audit_report
    from ulterior.report import write_report

    started = time.perf_counter()
    column = config.subject.column
    trusted = load_examples(config.trusted, split=config.split, require=(column,))
    extra = () if config.label is None else (config.label,)
    untrusted = load_examples(config.untrusted, split=config.split, require=(column, *extra))
    panel = audit_panel(config)
    writable_folder(config.out)
    result = audit(
        config.subject.open(),
        trusted.only(column),
        untrusted,
        config.subject,
        panel=panel,
        decide=config.decide,
        alpha=config.alpha,
        label=config.label,
        settings=config.panel,
    )
    print(summary(result, column))
    _write_scores(result, config.out / "scores.jsonl")
    result.monitor.save(config.out / "monitor")
    report = audit_report(result, config, n_trusted=len(trusted), seconds=time.perf_counter() - started)
    write_report(report, config.out / "report.html")
    print(f"\nwrote {config.out}/report.html, scores.jsonl and monitor/")
    return result


def audit_panel(config: Audit) -> tuple[Detector, ...]:
    """The detectors of an audit: the activation panel and the surface control, or those that were named."""
    at: Any = int(config.at) if config.at.lstrip("-").isdigit() else config.at
    usual = (*activation_panel(config.sites, at), surface(config.subject.column))
    further = (
        *further_panel(config.sites, at),
        *attribution_features_panel("behaviour", at=at),
    )
    panel = chosen((*usual, *further), config.detectors) if config.detectors else usual
    if config.decide not in {detector.name for detector in panel}:
        raise InputError(
            f"--decide {config.decide} is not among the detectors: {', '.join(d.name for d in panel)}"
        )
    return panel


def summary(result: AuditResult, column: str, most: int = 20) -> str:
    """What is printed: the verdict on the batch, then the flagged examples with p-values and sites."""
    n, flagged = len(result.untrusted), result.flagged
    alpha, width = result.monitor.alpha, 3 * max(map(len, result.decisive.keys)) + 22
    lines = [
        f"{len(flagged)} of {n} examples are handled in an unusual way at a false-alarm rate of {alpha:g}"
        f" ({alpha * n:.1f} expected by chance); {result.monitor.decide} decides",
        drift_sentence(result.drift),
    ]
    if len(flagged):
        lines += ["", f"{'row':>6}  {'p':>7}  {'strangest sites':<{width}}  text"]
    for row in flagged[:most]:
        sites = ", ".join(f"{site} {p:.3f}" for site, p in result.decisive.strangest_sites(int(row)).items())
        text = " ".join(last_words(result.untrusted[column][row]).split())
        lines.append(f"{row:>6}  {result.decisive.p[row]:>7.4f}  {sites:<{width}}  {printable(text)[:60]}")
    if len(flagged) > most:
        lines.append(f"... and {len(flagged) - most} more in scores.jsonl")
    if result.decided_in_sample:
        lines += ["", f"note: {IN_SAMPLE.format(name=result.monitor.decide)}"]
    lines += [f"not fitted: {name} ({why})" for name, why in result.monitor.panel.skipped.items()]
    return "\n".join(lines)


def drift_sentence(found: Drift) -> str:
    """One sentence on the batch as a whole."""
    if found.p < 0.01:
        return f"the batch as a whole has drifted from the trusted examples (p = {found.p:.2g})"
    return f"no sign that the batch as a whole has drifted from the trusted examples (p = {found.p:.2g})"


def last_words(value: Any) -> str:
    """A text as it stands; of a chat, what was said last."""
    return value if isinstance(value, str) else str(value[-1]["content"])


def printable(text: str) -> str:
    """Text without control characters, which could steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _labels(untrusted: Examples, column: str | None) -> np.ndarray | None:
    if column is None:
        return None
    values = untrusted[column]
    try:
        labels = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        labels = np.array([np.nan])
    if not np.isin(labels, (0.0, 1.0)).all():
        seen = ", ".join(sorted({repr(value) for value in values.tolist()})[:5])
        raise InputError(
            f"the label column '{column}' must hold 0 (usual) and 1 (anomalous) alone; it holds {seen}"
        )
    return labels.astype(np.int64)


def _write_scores(result: AuditResult, path: Path) -> None:
    from ulterior.audit.score import verdict

    with path.open("w", encoding="utf-8") as file:
        for row in range(len(result.untrusted)):
            file.write(json.dumps({"row": row, **verdict(result.monitor, result.scores, row)}) + "\n")

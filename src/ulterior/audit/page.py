"""An audit as a report."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import torch

from ulterior.audit.run import Audit, AuditResult, drift_sentence
from ulterior.metrics import Estimate, auroc, false_alarm_rate, recall_at
from ulterior.report import (
    Group,
    HeatMap,
    Histogram,
    Interval,
    KeyFigure,
    Leaderboard,
    Metric,
    Report,
    Roc,
    Section,
    ShownExample,
    Standing,
    roc_curve,
)
from ulterior.report.model import SHOWN_AS, Role
from ulterior.version import __version__

SHOWN = 20


def audit_report(result: AuditResult, config: Audit, *, n_trusted: int, seconds: float) -> Report:
    """The page of an audit, with or without labels.

    Args:
        result: What was found.
        config: How the audit was started.
        n_trusted: Number of trusted examples that were given.
        seconds: How long it took.
    """
    n, alpha, flagged = len(result.untrusted), config.alpha, result.flagged
    expected = alpha * n
    labelled = result.labels is not None
    section = Section(
        name="the untrusted examples",
        about=f"{n} examples against {n_trusted} trusted ones; {config.decide} decides at {alpha:g} false alarms.",
        examples_first=True,
        leaderboard=_leaderboard(result, alpha),
        rocs=_rocs(result, alpha) if labelled else (),
        histograms=(_histogram(result, config.decide, alpha),),
        heat_maps=(_heat_map(result),),
        anomalies=tuple(_shown(result, config, int(row)) for row in _strangest(result)),
        mistakes=_mistakes(result, config) if labelled else (),
        notes=tuple(f"{name} was left out: {why}" for name, why in result.monitor.panel.skipped.items()),
    )
    effect = result.drift.effect
    return Report(
        title=f"Audit of {Path(config.subject.model).name}",
        answer=f"{len(flagged)} of {n} examples are handled in an unusual way at a false-alarm rate of {alpha:g}"
        f" ({expected:.1f} expected by chance). {drift_sentence(result.drift).capitalize()}.",
        figures=(
            KeyFigure(
                f"{len(flagged)} of {n}",
                "flagged",
                f"{expected:.1f} expected by chance",
                len(flagged) > 2 * expected + 3,
            ),
            KeyFigure(
                f"{effect.value:.2f}" if effect.value is not None else "undefined",
                "share of pairs in which the untrusted example is the stranger",
                "0.50 without drift",
                alarm=result.drift.p < 0.01,
            ),
        ),
        sections=(section,),
        run={
            "model": config.subject.model,
            **({"adapter": config.subject.adapter} if config.subject.adapter else {}),
            "fingerprint": result.monitor.fingerprint[:16],
            "trusted": f"{config.trusted} ({n_trusted} examples, {config.panel.held_out:.0%} held out)",
            "untrusted": f"{config.untrusted} ({n} examples)",
            "column": config.subject.column,
            "read at": f"{config.sites}, position {config.at}",
            "deciding detector": config.decide,
            "false-alarm rate": f"{alpha:g}",
            "seed": str(config.panel.seed),
            "ulterior": __version__,
            "torch": torch.__version__,
            "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
            "time": f"{seconds:.0f} s, of which forward passes {result.seconds.get('pass', 0.0):.0f} s",
        },
    )


def _roles(result: AuditResult) -> dict[str, Role]:
    return {fitted.detector.name: SHOWN_AS[fitted.detector.role] for fitted in result.monitor.panel.detectors}


def _leaderboard(result: AuditResult, alpha: float) -> Leaderboard:
    """What each detector flags; with labels also how well it ranks, best first."""
    metrics = [Metric("flagged", "flagged", "rate", f"p ≤ {alpha:.2g}")]
    if result.labels is not None:
        metrics = [
            Metric("auroc", "labelled anomalous", "auroc", "AUROC"),
            Metric("recall", "caught", "rate", f"at {alpha:.2g} false alarms here"),
            *metrics,
            Metric("false alarms", "false alarms", "rate", f"p ≤ {alpha:.2g}", target=alpha),
        ]
    roles, standings = _roles(result), []
    in_sample = {name for name, scores in result.scores.items() if scores.in_sample}
    for fitted in result.monitor.panel.detectors:
        detector, scores = fitted.detector, result.scores[fitted.detector.name]
        flags = scores.p <= alpha
        values = {"flagged": _interval(false_alarm_rate(flags))}
        if result.labels is not None:
            values["auroc"] = _interval(auroc(scores.fused, result.labels))
            values["recall"] = _interval(recall_at(scores.fused, result.labels, alpha))
            values["false alarms"] = _interval(false_alarm_rate(flags[result.labels == 0]))
        standings.append(
            Standing(
                detector.name,
                values,
                role=roles[detector.name],
                family=detector.family,
                about=detector.about,
                seconds=result.seconds.get(detector.name),
                note=_note(detector.name, result.monitor.decide, in_sample),
            )
        )
    key = "auroc" if result.labels is not None else "flagged"
    standings.sort(key=lambda row: -(row.values[key].value if row.values[key].value is not None else -1.0))
    return Leaderboard(
        tuple(metrics),
        tuple(standings),
        "Intervals are 95%. Without labels, a high share flagged is no merit.",
    )


def _note(name: str, decide: str, in_sample: set[str]) -> str:
    notes = ["decides"] if name == decide else []
    return ", ".join(notes + (["fitted on these examples: flags too many"] if name in in_sample else []))


def _interval(estimate: Estimate) -> Interval:
    return Interval(estimate.value, estimate.low, estimate.high)


def _rocs(result: AuditResult, alpha: float) -> tuple[Roc, ...]:
    labels = result.labels
    if labels is None or labels.all() or not labels.any():
        return ()
    roles = _roles(result)
    order = sorted(roles, key=lambda name: -(auroc(result.scores[name].fused, labels).value or 0.0))
    chosen = dict.fromkeys(
        [*order[:3], result.monitor.decide, *(name for name in order if roles[name] == "control")]
    )
    curves = [
        roc_curve(name, [result.scores[name].fused], [labels.astype(bool)], role=roles[name])
        for name in chosen
    ]
    return (Roc("labelled anomalous", tuple(curves), alpha),)


def _histogram(result: AuditResult, decide: str, alpha: float) -> Histogram:
    calibration, scores = result.monitor.panel.calibrations[decide], result.scores[decide].fused
    groups = [Group("trusted, held out", "trusted", calibration.reference)]
    if result.labels is None:
        groups.append(Group("untrusted", "untrusted", scores))
    else:
        groups.append(Group("labelled normal", "real", scores[result.labels == 0]))
        groups.append(Group("labelled anomalous", "anomalous", scores[result.labels == 1]))
    return Histogram(decide, tuple(groups), calibration.threshold(alpha), f"the threshold at {alpha:g}")


def _heat_map(result: AuditResult) -> HeatMap:
    """Site by site: AUROC with labels, else the median -log10 p of the flagged examples (of all if none)."""
    several = [name for name, scores in result.scores.items() if len(scores.keys) > 1]
    keys = tuple(dict.fromkeys(key for name in several for key in result.scores[name].keys))
    values = np.full((len(keys), len(several)), np.nan)
    labels = result.labels
    evaluated = labels is not None and 0 < labels.sum() < len(labels)
    rows = result.flagged if len(result.flagged) else np.arange(len(result.untrusted))
    for column, name in enumerate(several):
        scores = result.scores[name]
        for index, key in enumerate(scores.keys):
            if labels is not None and evaluated:
                value = auroc(scores.site_scores[:, index], labels).value
            else:
                value = float(np.median(-np.log10(scores.site_p[rows, index])))
            values[keys.index(key), column] = np.nan if value is None else value
    who = "flagged" if len(result.flagged) else "untrusted"
    title = "AUROC site by site" if evaluated else f"How strange the {who} examples are, site by site"
    about = (
        ""
        if evaluated
        else "Median of -log10 p: 2 means one in a hundred trusted examples is as strange there."
    )
    return HeatMap(title, keys, tuple(several), values, unit="auroc" if evaluated else "number", about=about)


def _strangest(result: AuditResult) -> np.ndarray:
    return np.argsort(-result.decisive.fused, kind="stable")[:SHOWN]


def _mistakes(result: AuditResult, config: Audit) -> tuple[ShownExample, ...]:
    """The anomalous examples that look most usual, and the normal ones that look strangest."""
    labels, scores = result.labels, result.decisive
    if labels is None:
        return ()
    order = np.argsort(scores.fused, kind="stable")
    missed = [int(row) for row in order if labels[row] == 1 and scores.p[row] > config.alpha][: SHOWN // 4]
    alarms = [int(row) for row in order[::-1] if labels[row] == 0 and scores.p[row] <= config.alpha][
        : SHOWN // 4
    ]
    return tuple(_shown(result, config, row, "missed") for row in missed) + tuple(
        _shown(result, config, row, "false alarm") for row in alarms
    )


def _shown(result: AuditResult, config: Audit, row: int, mistake: str = "") -> ShownExample:
    value, scores = result.untrusted[config.subject.column][row], result.decisive
    is_chat = isinstance(value, (list, np.ndarray))
    text = tuple((str(turn["role"]), str(turn["content"])) for turn in value) if is_chat else str(value)
    label = None if result.labels is None else result.labels[row]
    return ShownExample(
        text=text,
        row=row,
        group="" if label is None else "labelled anomalous" if label else "labelled normal",
        meaning=None if label is None else "anomalous" if label else "real",
        p=float(scores.p[row]),
        flagged=bool(scores.p[row] <= config.alpha),
        mistake=mistake,
        sites=tuple(scores.strangest_sites(row).items()),
        detector=config.decide,
    )

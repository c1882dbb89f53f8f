"""A report as one self-contained HTML page: no network, no outside file, no script but its own."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from ulterior.errors import InputError
from ulterior.report import numbers, views
from ulterior.report.charts import histogram_figure, roc_figure
from ulterior.report.layered import layered_svg
from ulterior.report.model import Report
from ulterior.report.plots import DARK, LIGHT, css_variables, svg
from ulterior.report.text import passage, visible
from ulterior.report.trends import trends_figure


def render_report(report: Report) -> str:
    """The page as a string; equal reports give equal pages.

    Every text is escaped. A content security policy names the hash of the page's one script, so that nothing
    else could run even if something slipped through, and forbids every request.
    """
    from markupsafe import Markup

    script = _asset("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    sections = [
        {
            "data": section,
            "graphs": [(graph, Markup(layered_svg(graph))) for graph in section.graphs],
            "trends": [
                (
                    t.name,
                    Markup(svg(trends_figure(t), f"s{i}t{j}", f"{t.value_label} by {t.at_label}: {t.name}")),
                )
                for j, t in enumerate(section.trends)
                if t.trends
            ],
            "rocs": [
                (roc.name, Markup(svg(roc_figure(roc), f"s{i}r{j}", f"ROC curves: {roc.name}")))
                for j, roc in enumerate(section.rocs)
                if roc.curves
            ],
            "histograms": [
                (h.detector, Markup(svg(histogram_figure(h), f"s{i}h{j}", f"Scores by group: {h.detector}")))
                for j, h in enumerate(section.histograms)
                if any(len(g.scores) for g in h.groups)
            ],
        }
        for i, section in enumerate(report.sections)
    ]
    return (
        _environment()
        .from_string(_asset("template.html.j2"))
        .render(
            report=report,
            sections=sections,
            style=Markup(_asset("style.css")),
            light=Markup(css_variables(LIGHT)),
            dark=Markup(css_variables(DARK)),
            script=Markup(script),
            script_hash=f"sha256-{digest}",
            views=views,
            numbers=numbers,
            passage_of=passage,
            anchors={section.name: f"section-{i + 1}" for i, section in enumerate(report.sections)},
            breakable=_breakable,
        )
    )


def write_report(report: Report, path: str | os.PathLike[str]) -> None:
    """Write the page, making its folder where needed. A page that was there stays whole until the new one is.

    Raises:
        InputError: the file cannot be written (no permission, no space...).
    """
    text = render_report(report)
    target = Path(path)
    partial: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=target.name, suffix=".partial", dir=target.parent)
        partial = Path(name)
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)  # mkstemp's file is for its owner alone
        partial.replace(target)
    except OSError as error:
        if partial is not None:
            partial.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise InputError(
            f"the report cannot be written to {target}: {reason}; choose another folder"
        ) from error


def _environment() -> Any:
    from jinja2 import Environment, StrictUndefined

    return Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_finalize
    )


def _finalize(value: object) -> object:
    """Make every plain text visible; what is markup already was made here."""
    return visible(value) if type(value) is str else value


def _breakable(name: str) -> Any:
    """A long identifier that may be broken after its underscores and points, but not within a word."""
    from markupsafe import Markup, escape

    return Markup("").join(
        escape(part) + (Markup("<wbr>") if part in "_./" else "")
        for part in re.split(r"([_./])", visible(name))
    )


def _asset(name: str) -> str:
    return (resources.files("ulterior.report") / name).read_text(encoding="utf-8")

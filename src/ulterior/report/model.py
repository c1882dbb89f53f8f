"""What a report is made of: plain, frozen data. The caller computes; the page only shows.

Report
  Section (one per task, or one for an audited batch)
    Leaderboard   Metric columns x Standing rows of Intervals
    Trends        Trend curves and Levels over an amount, such as labels spent
    Roc           Curves of one slice
    Histogram     Groups of scores under one detector
    LayeredGraph  boxes in rows, and lines between them
    Table         rows of figures that sort
    HeatMap       sites (or tasks) x detectors
    ShownExample  the most anomalous ones, and the worst mistakes
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Num

from ulterior.report.interval import Interval
from ulterior.report.parts import LayeredGraph, Table

Role = Literal["detector", "baseline", "control", "ceiling", "oracle"]
"""What a detector is in a comparison. A control sees only the input, or learns from nothing; a ceiling is given the
truth; an oracle is a method of which the truth made the last choice."""

SHOWN_AS: Mapping[str, Role] = {
    "method": "detector",
    "baseline": "baseline",
    "control": "control",
    "ceiling": "ceiling",
    "oracle": "oracle",
}
"""How the roles of the catalogue's detectors are shown."""

Meaning = Literal["trusted", "benign", "real", "anomalous", "untrusted"]
"""What a group of examples is; each has one colour everywhere. ``untrusted``: the truth is not known."""

Unit = Literal["auroc", "rate", "p", "number"]
"""How a number is written: ``.93``, ``93%``, ``p = .004``, ``1,234``."""


@dataclass(frozen=True)
class Metric:
    """One column of a leaderboard."""

    key: str
    label: str
    """The short name over the column, such as the slice: ``all``, ``injected``."""
    unit: Unit = "auroc"
    group: str = ""
    """Neighbouring columns of one group share a heading, such as ``AUROC`` or ``false alarms at 1%``."""
    about: str = ""
    """A sentence shown when the pointer rests on the heading."""
    target: float | None = None
    """A level that should not be exceeded (the chosen false-alarm rate): marked, and excess is coloured."""
    mark: float | None = None
    """A level to compare with, marked; the value of the first baseline if neither this nor a target is given."""


@dataclass(frozen=True)
class Standing:
    """One row of a leaderboard: one detector."""

    detector: str
    values: Mapping[str, Interval]
    """By ``Metric.key``; a missing key is an empty cell."""
    role: Role = "detector"
    family: str = ""
    about: str = ""
    verdict: Literal["better", "worse", "inconclusive"] | None = None
    difference: Interval | None = None
    """The paired difference to the baseline behind the verdict, in the leading metric's unit."""
    seconds: float | None = None
    note: str = ""
    """What a reader of this row must know, such as ``stand-in model``."""
    mode: str = ""
    """``online`` or ``offline``, where the two must be kept apart."""


@dataclass(frozen=True)
class Leaderboard:
    """Detectors against metrics, in the order in which they are to be shown.

    Raises:
        ValueError: two metrics have one key.
    """

    metrics: tuple[Metric, ...]
    rows: tuple[Standing, ...]
    caption: str = ""

    def __post_init__(self) -> None:
        keys = [metric.key for metric in self.metrics]
        if len(set(keys)) != len(keys):
            raise ValueError(f"metrics of a leaderboard need different keys, got {keys}")


@dataclass(frozen=True)
class Curve:
    """A detector's recall at each false-alarm rate, with a band where one is known. See `roc_curve`."""

    detector: str
    false_alarms: Float[np.ndarray, " k"]
    recall: Float[np.ndarray, " k"]
    low: Float[np.ndarray, " k"] | None = None
    high: Float[np.ndarray, " k"] | None = None
    role: Role = "detector"


@dataclass(frozen=True)
class Roc:
    """The curves of one slice; the best detector first (it gets the accent)."""

    name: str
    curves: tuple[Curve, ...]
    alpha: float | None = None
    """The chosen false-alarm rate, marked on the axis."""


@dataclass(frozen=True)
class Group:
    """The scores of one group of examples."""

    name: str
    meaning: Meaning
    scores: Num[np.ndarray, " n"]


@dataclass(frozen=True)
class Histogram:
    """How one detector scores each group. ``role="ceiling"`` draws it dashed and black."""

    detector: str
    groups: tuple[Group, ...]
    threshold: float | None = None
    threshold_label: str = "threshold"
    score_label: str = "score (higher is more anomalous)"
    role: Role = "detector"


@dataclass(frozen=True)
class HeatMap:
    """One number for each site (or task) and detector; NaN where the detector does not read the site.

    ``unit="auroc"`` diverges around one half; ``rate`` and ``number`` (median -log10 p) run from zero.

    Raises:
        ValueError: ``values`` is not [sites, detectors].
    """

    title: str
    sites: tuple[str, ...]
    detectors: tuple[str, ...]
    values: Float[np.ndarray, "sites detectors"]
    unit: Literal["auroc", "rate", "number"] = "auroc"
    about: str = ""
    links: tuple[str, ...] = ()
    """For each site the name of a section of the page that says more of it."""

    def __post_init__(self) -> None:
        expected = (len(self.sites), len(self.detectors))
        if self.values.shape != expected:
            raise ValueError(
                f"heat map {self.title!r}: values {self.values.shape}, but sites x detectors {expected}"
            )
        if self.links and len(self.links) != len(self.sites):
            raise ValueError(f"heat map {self.title!r}: {len(self.links)} links for {len(self.sites)} sites")


@dataclass(frozen=True)
class Trend:
    """A figure with its interval at rising amounts of something, such as labels spent.

    Raises:
        ValueError: the arrays differ in length, or there is nothing in them.
    """

    name: str
    at: Num[np.ndarray, " _"]
    value: Num[np.ndarray, " _"]
    low: Num[np.ndarray, " _"] | None = None
    high: Num[np.ndarray, " _"] | None = None
    role: Role = "detector"

    def __post_init__(self) -> None:
        lengths = {len(a) for a in (self.at, self.value, self.low, self.high) if a is not None}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError(f"trend {self.name!r}: arrays of lengths {sorted(lengths)}; expected one, not 0")


@dataclass(frozen=True)
class Level:
    """A figure that does not change along the axis: a reference to compare trends with."""

    name: str
    value: float
    role: Role = "baseline"


@dataclass(frozen=True)
class Trends:
    """Trends and levels on one pair of axes; the most important trend first (it gets the accent)."""

    name: str
    trends: tuple[Trend, ...]
    levels: tuple[Level, ...] = ()
    at_label: str = ""
    value_label: str = ""
    unit: Literal["auroc", "number"] = "auroc"
    shares: bool = False
    """Whether the amounts are shares up to 1 over decades: a logarithmic axis in percent."""
    within: tuple[float, float] | None = None
    """The most that the axis of values shows; what lies beyond is cut off."""


@dataclass(frozen=True)
class ShownExample:
    """One example with its text, and why it is shown."""

    text: str | tuple[tuple[str, str], ...]
    """Plain text, or the turns of a chat as (role, content)."""
    row: int | str
    """Where the user finds it in their own file."""
    group: str = ""
    meaning: Meaning | None = None
    p: float | None = None
    flagged: bool | None = None
    mistake: str = ""
    """Empty, or what went wrong: ``missed``, ``false alarm``."""
    sites: tuple[tuple[str, float], ...] = ()
    """The sites that made it strange, the strangest first, each with its p-value."""
    detector: str = ""
    code: bool = False
    """Whether the text is a program: set in a fixed-width type."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Further columns worth reading: the model's answer, the label."""


@dataclass(frozen=True)
class Section:
    """A task of a bench, or the batch of an audit. Whatever is empty is left out of the page."""

    name: str
    about: str = ""
    leaderboard: Leaderboard | None = None
    rocs: tuple[Roc, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    heat_maps: tuple[HeatMap, ...] = ()
    anomalies: tuple[ShownExample, ...] = ()
    mistakes: tuple[ShownExample, ...] = ()
    notes: tuple[str, ...] = ()
    examples_first: bool = False
    """Show the most anomalous examples before everything else, as an audit wants them."""
    trends: tuple[Trends, ...] = ()
    heat_heading: str = "Sites"
    graphs: tuple[LayeredGraph, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class KeyFigure:
    """A number that belongs on top: ``KeyFigure("17 of 400", "flagged", "4 expected by chance")``."""

    value: str
    label: str
    note: str = ""
    alarm: bool = False


@dataclass(frozen=True)
class Report:
    """A whole page.

    ``answer`` is the one sentence that a hurried reader takes away; ``run`` is how it was made (model, data,
    seeds, version, command, time, alpha...), in the order given; ``notes`` are warnings and remarks.
    """

    title: str
    answer: str
    sections: tuple[Section, ...] = ()
    figures: tuple[KeyFigure, ...] = ()
    run: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

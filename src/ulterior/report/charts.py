"""The two charts of a report: ROC curves, and histograms of scores by group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ulterior.report.model import Histogram, Roc, Role
from ulterior.report.numbers import plain
from ulterior.report.plots import DETECTORS, LIGHT, figure
from ulterior.report.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

BINS = 44
FAR = np.full((1, 2), -1e6)


def roc_figure(roc: Roc) -> Figure:
    """ROC curves with a logarithmic false-alarm axis, bands, and names on the curves where there is room.

    Names that find no place of their own go to a small legend.
    """
    ordinary = [c for c in roc.curves if c.role == "detector"]
    with figure(height=2.9) as (fig, axes):
        finest = min((float(c.false_alarms[0]) for c in roc.curves), default=1e-3)
        axes.set_xscale("log")
        axes.set_xlim(finest, 1)
        axes.set_ylim(0, 1.015)
        ticks = [10.0**e for e in range(-4, 1) if 10.0**e >= finest * 0.999]
        axes.set_xticks(ticks, [_percent(t) for t in ticks])
        axes.set_xticks([], minor=True)
        axes.set_yticks(np.linspace(0, 1, 6), [f"{v:.0%}" for v in np.linspace(0, 1, 6)])
        axes.grid(True, axis="y")
        axes.set_xlabel("false-alarm rate (logarithmic)")
        axes.set_ylabel("recall")
        if roc.alpha is not None and roc.alpha > finest:
            axes.axvline(roc.alpha, color=LIGHT["muted"], linewidth=0.8, dashes=(2, 2), zorder=0.6)
        chance = np.geomspace(finest, 1, 50)
        axes.plot(chance, chance, color=LIGHT["control"], linewidth=0.8, dashes=(1, 2))
        for curve in roc.curves:
            style = style_of(curve.role, ordinary.index(curve) if curve.role == "detector" else 0)
            if curve.low is not None and curve.high is not None and curve.role != "ceiling":
                axes.fill_between(
                    curve.false_alarms, curve.low, curve.high, color=style["color"], alpha=0.13, linewidth=0
                )
            axes.plot(curve.false_alarms, curve.recall, label=curve.detector, **style)
        name_curves(axes, {curve.detector for curve in roc.curves})
    return fig


def histogram_figure(histogram: Histogram) -> Figure:
    """One row for each group on a shared axis, its name above it, and its share beyond the threshold.

    Every group fills its row. Scores beyond the central 99.6% of all fall into the outermost bins, so nothing
    is dropped; positive scores that span decades get a logarithmic axis. Groups without scores are left out.
    """
    from matplotlib.ticker import LogLocator

    groups = [(g, g.scores[~np.isnan(g.scores)].astype(np.float64)) for g in histogram.groups]
    groups = [(g, scores) for g, scores in groups if len(scores)]
    row = 0.50
    with figure(height=0.55 + row * max(len(groups), 1)) as (fig, axes):
        edges, geometric = _edges([scores for _, scores in groups], histogram.threshold)
        if geometric:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(numticks=6))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}".replace("e+0", "e"))
            axes.set_xticks([], minor=True)
        else:
            axes.locator_params(axis="x", nbins=5)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, max(len(groups), 1))
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.set_xlabel(_shorten(histogram.score_label, 48))
        for i, (group, scores) in enumerate(groups):
            floor = len(groups) - 1 - i
            counts, _ = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)
            height = 0.56 * counts / counts.max()
            colour = LIGHT["ink" if histogram.role == "ceiling" else group.meaning]
            axes.stairs(height + floor, edges, baseline=floor, fill=True, color=colour, alpha=0.22)
            axes.stairs(
                height + floor,
                edges,
                baseline=None,
                color=colour,
                linewidth=1.2,
                linestyle=(0, (3, 1.5)) if histogram.role == "ceiling" else "-",
            )
            axes.axhline(floor, color=LIGHT["rule"], linewidth=0.7, zorder=0.6)
            axes.annotate(
                f"{_shorten(group.name, 32)}  (n = {len(scores):,})",
                (0, floor + 0.66),
                xycoords=("axes fraction", "data"),
                va="bottom",
            )
            if histogram.threshold is not None:
                beyond = float(np.mean(scores > histogram.threshold))
                axes.annotate(
                    f"{100 * beyond:.{1 if beyond < 0.0995 else 0}f}%",
                    (1, floor + 0.66),
                    xycoords=("axes fraction", "data"),
                    va="bottom",
                    ha="right",
                )
        if histogram.threshold is not None:
            for i in range(len(groups)):  # the line rests where the names are written
                axes.plot(
                    [histogram.threshold] * 2, [i, i + 0.6], color=LIGHT["ink"], linewidth=0.9, dashes=(2, 2)
                )
            axes.set_title(
                f"beyond {_shorten(histogram.threshold_label, 32)}",
                loc="right",
                fontsize=7.5,
                color=LIGHT["muted"],
                pad=3,
            )
    return fig


def style_of(role: Role, rank: int = 0) -> dict[str, Any]:
    """Colour, width and dashes of a curve; ``rank`` counts the ordinary ones, the first gets the accent."""
    if role == "ceiling":
        return {"color": LIGHT["ink"], "linewidth": 1.3, "dashes": (4, 2), "zorder": 2.1}
    if role == "oracle":
        return {"color": LIGHT["ink"], "linewidth": 1.3, "dashes": (4, 1.5, 1, 1.5), "zorder": 2.1}
    if role == "baseline":
        return {"color": LIGHT["baseline"], "linewidth": 1.5, "dashes": (7, 2), "zorder": 2.2}
    if role == "control":
        return {"color": LIGHT["control"], "linewidth": 1.3, "dashes": (1.5, 1.5), "zorder": 2.15}
    return {"color": LIGHT[DETECTORS[rank % len(DETECTORS)]], "zorder": 3 - 0.1 * rank}


def name_curves(axes: Axes, names: set[str]) -> None:
    """Write each name beside its curve where it hides no curve and no other name; list the others above."""
    fig = axes.figure
    waiting = [line for line in axes.lines if line.get_label() in names]
    listed: list[Line2D] = []
    while waiting:
        legends = [_legend(fig, listed)] if listed else []
        labels, homeless = _place_names(axes, waiting)
        if not homeless:
            return
        # A longer legend takes room from the axes, so that names that fitted may no longer do so.
        for artist in (*legends, *labels):
            artist.remove()
        listed += homeless
        waiting = [line for line in waiting if line not in homeless]
    if listed:
        _legend(fig, listed)


def _legend(fig: Figure | SubFigure, lines: list[Line2D]) -> Legend:
    return fig.legend(
        handles=lines,
        labels=[_shorten(str(line.get_label()), 24) for line in lines],
        loc="outside upper left",
        frameon=False,
        fontsize=8,
        ncols=2,
        handlelength=1.8,
    )


def _place_names(axes: Axes, lines: list[Line2D]) -> tuple[list[Annotation], list[Line2D]]:
    """The labels written beside the lines, and the lines for which no place was free."""
    axes.figure.draw_without_rendering()  # pyright: ignore[reportAttributeAccessIssue]
    drawn = [
        line for line in axes.lines if line in lines or len(np.asarray(line.get_xydata())) > 2
    ]  # all but the mark of the chosen rate
    paths = {line: _dense(axes.transData.transform(line.get_xydata())) for line in drawn}
    labels, homeless, taken = [], [], []
    for line in lines:
        label = axes.annotate(
            _shorten(str(line.get_label()), 24),
            (0, 0),
            xycoords="axes fraction",
            # The curve of a control is faint on purpose; its name is to be read all the same.
            color=LIGHT["muted"] if line.get_color() == LIGHT["control"] else line.get_color(),
            fontsize=8,
            zorder=5,
            annotation_clip=False,
        )
        size = label.get_window_extent()
        # A point far away stands for the other curves where there are none.
        others = np.concatenate([FAR, *(path for other, path in paths.items() if other is not line)])
        box = _free_place(size.width, size.height, paths[line], others, taken, axes.get_window_extent())
        if box is None:
            label.remove()
            homeless.append(line)
        else:
            taken.append(box)
            labels.append(label)
            x, y = axes.transAxes.inverted().transform(box[:2])
            label.xyann = (float(x), float(y))
    return labels, homeless


def _free_place(
    width: float, height: float, own: np.ndarray, others: np.ndarray, taken: list[np.ndarray], inside: Bbox
) -> np.ndarray | None:
    """A box [left, bottom, right, top] in pixels beside the path ``own``, or None if all would hide something.

    Of the free places it takes the one that is farthest from every other curve: there a name is unambiguous.
    """
    best, most = None, -1.0
    for x, y in own[::6]:
        for left, bottom in ((x - width - 4, y + 2), (x + 4, y - height - 2)):
            box = np.array([left, bottom, left + width, bottom + height])
            outside = (
                left < inside.x0 + 2 or bottom < inside.y0 + 2 or box[2] > inside.x1 - 2 or box[3] > inside.y1
            )
            if outside or any(_overlap(box, b) for b in taken) or _hides(box, own) or _hides(box, others):
                continue
            room = np.hypot(*(others - (box[:2] + box[2:]) / 2).T).min()
            if room > most:
                best, most = box, room
    return best


def _dense(xy: np.ndarray, step: float = 2.0) -> np.ndarray:
    """Points along a polyline, about ``step`` pixels apart."""
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
    at = np.arange(0, length[-1] + step, step)
    return np.stack([np.interp(at, length, xy[:, 0]), np.interp(at, length, xy[:, 1])], axis=1)


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(a[0] < b[2] + 2 and b[0] < a[2] + 2 and a[1] < b[3] + 1 and b[1] < a[3] + 1)


def _hides(box: np.ndarray, path: np.ndarray) -> bool:
    return bool(np.all((path >= box[:2] - 1) & (path <= box[2:] + 1), axis=1).any())


def _edges(groups: list[np.ndarray], threshold: float | None) -> tuple[np.ndarray, bool]:
    """The edges of the bins, and whether they grow geometrically."""
    finite = [g[np.isfinite(g)] for g in groups]
    finite = [g for g in finite if len(g)] or [np.zeros(1)]
    low, high = np.quantile(np.concatenate(finite), (0.002, 0.998))
    if threshold is not None and np.isfinite(threshold):
        low, high = min(low, threshold), max(high, threshold)
    # One far group must not press all others into a single bin.
    quartiles = [np.quantile(g, (0.25, 0.5, 0.75)) for g in finite]
    near, middle, far = min((q for q in quartiles if q[0] < q[2]), key=np.ptp, default=(low, low, high))
    if high - low > 40 * (far - near) > 0:
        if low > 0 and high > 30 * low:
            return np.geomspace(low / 1.1, high * 1.1, BINS + 1), True
        low, high = max(low, middle - 20 * (far - near)), min(high, middle + 20 * (far - near))
        if threshold is not None and np.isfinite(threshold):
            low, high = min(low, threshold), max(high, threshold)
    margin = 0.03 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, BINS + 1), False


def _percent(rate: float) -> str:
    text = plain(100 * rate, max(0, -int(np.floor(np.log10(100 * rate) + 1e-9))))
    return ("0" + text if text.startswith(".") else text) + "%"


def _shorten(text: str, most: int) -> str:
    text = visible(text)
    return text if len(text) <= most else text[: most - 1] + "\u2026"

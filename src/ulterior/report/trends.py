"""The chart of figures over an amount: how much better it gets with every label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ulterior.report.charts import name_curves, style_of
from ulterior.report.model import Trends
from ulterior.report.numbers import plain
from ulterior.report.plots import LIGHT, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = 24
"""Trends of more points than this are drawn without dots."""
DODGE = 1.6
"""Points by which the intervals of neighbouring trends stand apart."""


def trends_figure(trends: Trends) -> Figure:
    """Curves over an amount, levels as horizontal lines, names on the lines where there is room.

    The first trend's intervals are a band, those of the others thin lines beside their points.
    Points at which a figure is not defined (NaN) are left out of the line.
    """
    from matplotlib.transforms import ScaledTranslation

    with figure(height=2.9) as (fig, axes):
        left, right = 0.0, max((float(t.at.max()) for t in trends.trends), default=1.0)
        axes.grid(True, axis="y")
        axes.set_xlabel(trends.at_label)
        axes.set_ylabel(trends.value_label)
        if trends.shares:
            left = min((float(t.at.min()) for t in trends.trends), default=1e-3)
            axes.set_xscale("log")
            ticks = [10.0**e for e in range(-4, 1) if 10.0**e >= left * 0.999]
            axes.set_xticks(ticks, [f"{100 * tick:g}%" for tick in ticks])
            axes.set_xticks([], minor=True)
        else:
            axes.locator_params(axis="x", nbins=6, integer=True)
        axes.set_xlim(left, right or 1.0)
        for level in trends.levels:
            # Several points, so that a name may stand anywhere along the line.
            along = np.geomspace(left, right, 50) if trends.shares else np.linspace(0, right or 1.0, 50)
            axes.plot(along, np.full(50, level.value), label=level.name, **style_of(level.role))
        ordinary = [t for t in trends.trends if t.role == "detector"]
        for trend in trends.trends:
            style = style_of(trend.role, ordinary.index(trend) if trend.role == "detector" else 0)
            known = np.isfinite(trend.value.astype(float))
            if trend.low is not None and trend.high is not None:
                low, high = trend.low[known], trend.high[known]
                if trend is trends.trends[0]:
                    axes.fill_between(
                        trend.at[known], low, high, color=style["color"], alpha=0.13, linewidth=0
                    )
                else:  # several bands over each other hide one another
                    place = DODGE * (1 + trends.trends.index(trend) // 2) * (-1) ** trends.trends.index(trend)
                    aside = ScaledTranslation(place / 72, 0, fig.dpi_scale_trans)
                    axes.vlines(
                        trend.at[known],
                        low,
                        high,
                        color=style["color"],
                        alpha=0.55,
                        linewidth=0.8,
                        transform=axes.transData + aside,
                    )
            marks = {"marker": "o", "markersize": 2.6} if len(trend.at) <= MARKS else {}
            axes.plot(trend.at[known], trend.value[known], label=trend.name, **style, **marks)
        _limit(axes, trends)
        name_curves(axes, {*(t.name for t in trends.trends), *(level.name for level in trends.levels)})
    return fig


def _limit(axes: Axes, trends: Trends) -> None:
    """An axis from a little below the lowest figure (an AUROC's is not wasted on what nothing comes near)."""
    every = [np.asarray([level.value]) for level in trends.levels]
    every += [a for t in trends.trends for a in (t.value, t.low, t.high) if a is not None]
    numbers = np.concatenate([a.astype(float) for a in every]) if every else np.zeros(0)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return
    low, high = float(numbers.min()), float(numbers.max())
    if trends.unit == "number":
        least, most = trends.within or (-np.inf, np.inf)
        axes.set_ylim(max(min(0.0, 1.08 * low), least), min(1.08 * high, most) or 1.0)
        return
    low, high = max(np.floor(20 * low - 0.1) / 20, 0.0), min(high + 0.1 * (high - low), 1.0)
    axes.set_ylim(low, max(high, low + 0.05))
    # Ticks may stand at .875.
    axes.yaxis.set_major_formatter(
        lambda value, _: plain(value, 2 if abs(value - round(value, 2)) < 1e-6 else 3)
    )
    if low < 0.5 < high:
        axes.axhline(0.5, color=LIGHT["control"], linewidth=0.8, dashes=(1, 2))

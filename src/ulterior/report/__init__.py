"""Results to one self-contained HTML page, and the plots in it."""

from ulterior.report.curves import roc_curve
from ulterior.report.model import (
    Curve,
    Group,
    HeatMap,
    Histogram,
    Interval,
    KeyFigure,
    Leaderboard,
    Level,
    Metric,
    Report,
    Roc,
    Section,
    ShownExample,
    Standing,
    Trend,
    Trends,
)
from ulterior.report.page import render_report, write_report
from ulterior.report.parts import GraphEdge, GraphNode, LayeredGraph, Table, TableColumn

__all__ = [
    "Curve",
    "GraphEdge",
    "GraphNode",
    "Group",
    "HeatMap",
    "Histogram",
    "Interval",
    "KeyFigure",
    "LayeredGraph",
    "Leaderboard",
    "Level",
    "Metric",
    "Report",
    "Roc",
    "Section",
    "ShownExample",
    "Standing",
    "Table",
    "TableColumn",
    "Trend",
    "Trends",
    "render_report",
    "roc_curve",
    "write_report",
]

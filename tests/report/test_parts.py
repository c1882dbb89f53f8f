from __future__ import annotations

import re

import numpy as np
import pytest

from ulterior.report import (
    GraphEdge,
    GraphNode,
    Interval,
    LayeredGraph,
    Report,
    Section,
    Table,
    TableColumn,
    Trend,
    Trends,
    render_report,
)
from ulterior.report.layered import layered_svg
from ulterior.report.trends import trends_figure
from ulterior.report.views import ratio

NODES = (GraphNode("a", "a", 0), GraphNode("b", "b", 1), GraphNode("c", "c", 1), GraphNode("d", "<d>", 2))
EDGES = (GraphEdge("a", "c", 2.0, "q", "a to c"), GraphEdge("a", "b", -1.0), GraphEdge("c", "d", 0.1))


def test_width_is_weight_and_colour_is_sign():
    svg = layered_svg(LayeredGraph("g", NODES, EDGES, {0: "below"}))
    widths = [float(width) for width in re.findall(r'stroke-width="([\d.]+)"', svg)]
    assert widths == sorted(widths)  # the strongest last, over the others
    assert widths[-1] == pytest.approx(5.2)
    assert svg.count("edge minus") == 1
    assert svg.count("edge plus") == 2
    assert "<title>a to c</title>" in svg
    assert "&lt;d&gt;" in svg
    assert "<d>" not in svg


def test_lines_do_not_cross_where_an_order_without_crossings_is_near():
    below = tuple(GraphNode(f"u{i}", f"u{i}", 0, order=i) for i in range(4))
    above = tuple(GraphNode(f"v{i}", f"v{i}", 1, order=i) for i in range(4))
    edges = tuple(GraphEdge(f"u{i}", f"v{3 - i}", 1.0) for i in range(4))
    svg = layered_svg(LayeredGraph("g", below + above, edges))
    x = {name: float(left) for name, left in re.findall(r'data-node="(\w+)".*?<rect x="([\d.]+)"', svg)}
    assert (
        np.argsort([x[f"u{i}"] for i in range(4)]).tolist()
        == np.argsort([x[f"v{3 - i}"] for i in range(4)]).tolist()
    )


def test_a_table_is_escaped_and_sorts_by_exact_figures():
    table = Table(
        "figures",
        (
            TableColumn("unit", "text"),
            TableColumn("effect"),
            TableColumn("p", "p"),
            TableColumn("text", "text"),
        ),
        (
            ("a<b>", Interval(0.25, 0.2, 0.3), 0.001, "<script>alert(1)</script>"),
            ("c", Interval(None), None, "plain"),
        ),
    )
    page = render_report(
        Report("t", "a", (Section("s", tables=(table,), graphs=(LayeredGraph("g", NODES, EDGES),)),))
    )
    assert "<script>alert" not in page
    assert "a&lt;b&gt;" in page
    assert 'data-sort="0.25"' in page
    assert "[.20, .30]" in page
    assert "undefined" in page
    assert "<svg" in page
    with pytest.raises(ValueError, match="2 columns, a row of 1"):
        Table("t", (TableColumn("a"), TableColumn("b")), (("x",),))


def test_ratios_have_two_decimals_or_three():
    assert ratio(Interval(0.8812, 0.83, 0.93)) == (".88", "[.83, .93]")
    assert ratio(Interval(0.74901, 0.74899, 0.74902)) == (".75", "[.75, .75]")
    assert ratio(Interval(2e-7)) == (".00", "")
    assert ratio(Interval(0.5, 0.4961, 0.5042)) == (".500", "[.496, .504]")
    assert ratio(Interval(None)) == ("undefined", "")


def test_shares_have_a_logarithmic_axis_and_values_stay_within_what_is_shown():
    at = np.array([0.001, 0.01, 0.1, 1.0])
    trend = Trend("f", at, np.array([-9.0, 0.2, 0.9, 1.0]))
    fig = trends_figure(Trends("t", (trend,), unit="number", shares=True, within=(-0.6, 1.6)))
    axes = fig.axes[0]
    assert axes.get_xscale() == "log"
    assert axes.get_xlim() == (0.001, 1.0)
    assert axes.get_ylim()[0] == pytest.approx(-0.6)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.1%", "1%", "10%", "100%"]

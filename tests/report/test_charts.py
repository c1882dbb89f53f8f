from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from ulterior.report import Curve, Group, Histogram, Roc, roc_curve
from ulterior.report.charts import histogram_figure, roc_figure
from ulterior.report.plots import LIGHT, svg

RNG = np.random.default_rng(0)


def curves(*shifts: float, role: str = "detector", n: int = 300) -> tuple[Curve, ...]:
    y = np.arange(n) % 2 == 0
    return tuple(
        roc_curve(f"detector_{i}", [RNG.normal(size=n) + s * y], [y], role, 20) for i, s in enumerate(shifts)
    )


def test_the_false_alarm_axis_is_logarithmic_and_starts_where_the_data_can_tell():
    axes = roc_figure(Roc("all", curves(2.0, n=400), 0.01)).axes[0]
    assert axes.get_xscale() == "log"
    assert axes.get_xlim() == (1 / 200, 1)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1%", "10%", "100%"]


def test_every_curve_is_named_once_and_no_two_names_overlap():
    fig = roc_figure(Roc("all", curves(3.5, 2.5, 1.5, 0.7, 0.0)))
    axes = fig.axes[0]
    beside = [t for t in axes.texts if t.get_text()]
    listed = [t.get_text() for legend in fig.legends for t in legend.get_texts()]
    assert sorted([t.get_text() for t in beside] + listed) == [f"detector_{i}" for i in range(5)]
    boxes = [t.get_window_extent() for t in beside]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert all(axes.get_window_extent().padded(2).containsx(b.x0) for b in boxes)


def test_names_that_find_no_place_go_to_a_legend():
    grid = np.geomspace(0.001, 1, 61)
    crowd = tuple(Curve(f"detector_{i}", grid, grid ** (0.02 + 0.06 * i)) for i in range(14))
    fig = roc_figure(Roc("all", crowd))
    assert len(fig.legends) == 1


def test_a_ceiling_is_dashed_and_black_and_the_best_detector_has_the_accent():
    (best,) = curves(2.0)
    (top,) = curves(4.0, role="ceiling")
    lines = {
        line.get_label(): line
        for line in roc_figure(Roc("all", (best, Curve("top", top.false_alarms, top.recall, role="ceiling"))))
        .axes[0]
        .lines
    }
    assert lines["detector_0"].get_color() == LIGHT["accent"]
    assert lines["top"].get_color() == LIGHT["ink"]
    assert lines["top"].is_dashed()


def test_the_name_of_a_faint_curve_is_not_faint():
    fig = roc_figure(Roc("r", curves(1.0, role="control")))
    (name,) = (text for text in fig.axes[0].texts if text.get_text() == "detector_0")
    assert name.get_color() == LIGHT["muted"]


def test_no_curves_give_an_empty_chart():
    ET.fromstring(svg(roc_figure(Roc("nothing", ()))))


def test_the_share_beyond_the_threshold_is_that_of_all_scores_however_far():
    scores = np.concatenate([np.zeros(75) + RNG.normal(size=75) * 0.1, np.full(25, 1e9)])
    fig = histogram_figure(Histogram("d", (Group("g", "untrusted", scores),), 5.0))
    assert "25%" in [t.get_text() for t in fig.axes[0].texts]


def test_groups_without_scores_are_left_out_and_names_are_shown_as_they_are():
    groups = (Group("none", "real", np.empty(0)), Group("nan", "real", np.full(3, np.nan)))
    texts = svg(histogram_figure(Histogram("d", (*groups, Group("<i>$x$\x1b", "trusted", np.arange(5.0))))))
    ET.fromstring(texts)
    assert ">none" not in texts
    assert "&lt;i&gt;$x$\u241b" in texts


@pytest.mark.parametrize("scores", [np.zeros(4), np.array([np.inf, -np.inf, 1.0]), np.array([3.0])])
def test_degenerate_scores_still_draw(scores):
    ET.fromstring(svg(histogram_figure(Histogram("d", (Group("g", "real", scores),), 0.0))))


def test_positive_scores_over_decades_get_a_logarithmic_axis():
    far = (
        Group("t", "trusted", np.exp(RNG.normal(size=200) * 0.3)),
        Group("a", "anomalous", np.exp(6 + RNG.normal(size=200))),
    )
    assert histogram_figure(Histogram("d", far)).axes[0].get_xscale() == "log"


def test_one_far_group_of_signed_scores_does_not_press_the_others_into_a_bin():
    groups = (Group("t", "trusted", RNG.normal(size=200)), Group("a", "anomalous", np.full(50, 1e6)))
    low, high = histogram_figure(Histogram("d", groups)).axes[0].get_xlim()
    assert high - low < 100

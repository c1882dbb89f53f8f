from __future__ import annotations

import numpy as np
import pytest

from ulterior.report import HeatMap, Interval, Leaderboard, Metric, Standing
from ulterior.report.views import Cell, cells, column_groups, difference, heat_scale, shades

ALL = Metric("all", "all", "auroc", "AUROC")
TRUSTED = Metric("fa", "trusted", "rate", "false alarms", target=0.01)


def only(board: Leaderboard, row: int = 0) -> Cell:
    cell = cells(board, board.rows[row])[0]
    assert cell is not None
    return cell


def test_neighbours_of_one_group_share_a_heading():
    board = Leaderboard((ALL, Metric("hard", "hard", group="AUROC"), TRUSTED), ())
    assert [(g.name, g.span) for g in column_groups(board)] == [("AUROC", 2), ("false alarms", 1)]


def test_the_axis_of_an_auroc_runs_from_one_half_and_bears_the_baselines_mark():
    board = Leaderboard(
        (ALL,),
        (
            Standing("good", {"all": Interval(0.9, 0.85, 0.95)}),
            Standing("base", {"all": Interval(0.75, 0.7, 0.8)}, "baseline"),
        ),
    )
    cell = only(board)
    assert (cell.left, cell.width, cell.dot, cell.mark) == (70, 20, 80, 50)


def test_a_mark_that_is_given_stands_before_that_of_the_first_baseline():
    marked = Metric("all", "all", "auroc", "AUROC", mark=0.6)
    board = Leaderboard((marked,), (Standing("base", {"all": Interval(0.75, 0.7, 0.8)}, "baseline"),))
    assert only(board).mark == 20


def test_the_axis_grows_downward_for_a_detector_that_is_worse_than_chance():
    board = Leaderboard((ALL,), (Standing("bad", {"all": Interval(0.3, 0.21, 0.4)}),))
    assert only(board).left == pytest.approx(100 * 0.01 / 0.8, abs=0.1)


@pytest.mark.parametrize(("low", "excess"), [(0.012, True), (0.008, False)])
def test_false_alarms_are_in_excess_only_if_the_whole_interval_is_over_the_target(low, excess):
    board = Leaderboard((TRUSTED,), (Standing("d", {"fa": Interval(0.02, low, 0.03)}),))
    assert only(board).excess is excess


def test_an_undefined_metric_has_no_bar_and_sorts_last_and_a_missing_one_no_cell():
    board = Leaderboard((ALL, TRUSTED), (Standing("d", {"all": Interval(None)}),))
    undefined, missing = cells(board, board.rows[0])
    assert undefined == Cell("undefined", "", "")
    assert missing is None


def test_decimal_points_of_a_column_stand_under_each_other():
    rows = (
        Standing("sharp", {"all": Interval(0.992, 0.988, 0.996)}),
        Standing("blunt", {"all": Interval(0.93, 0.9, 0.96)}),
    )
    board = Leaderboard((ALL,), rows)
    texts = [only(board, i).text for i in range(2)]
    assert texts == [".992", ".93\u2007"]


def test_the_difference_is_signed():
    row = Standing("d", {}, verdict="better", difference=Interval(0.12, 0.08, 0.16))
    assert difference(row, Leaderboard((ALL,), (row,))) == "+.12 [.08, .16]"
    assert difference(Standing("d", {}), Leaderboard((ALL,), ())) == ""


def test_an_auroc_diverges_around_one_half_and_nan_is_blank():
    heat = HeatMap("h", ("a",), ("x", "y", "z", "w"), np.array([[0.5, 1.0, 0.0, np.nan]]))
    middle, high, low, blank = shades(heat)[0]
    assert blank is None
    assert middle is not None
    assert high is not None
    assert low is not None
    assert (middle.strength, high.hue, low.hue) == (0, "hot", "cold")
    assert high.strength == low.strength > 0


@pytest.mark.parametrize("unit", ["rate", "number"])
def test_other_units_run_from_zero_to_the_largest(unit):
    heat = HeatMap("h", ("a",), ("x", "y"), np.array([[0.0, 0.4]]), unit)
    low, high = shades(heat)[0]
    assert low is not None
    assert high is not None
    assert low.strength == 0 < high.strength
    assert heat_scale(heat)[-1] == high


def test_a_heat_map_of_nothing_but_nan_has_a_key_all_the_same():
    heat = HeatMap("h", ("a",), ("x",), np.array([[np.nan]]), "rate")
    assert shades(heat) == [[None]]
    assert len(heat_scale(heat)) == 5

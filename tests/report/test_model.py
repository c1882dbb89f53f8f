from __future__ import annotations

import numpy as np
import pytest

from ulterior.report import HeatMap, Interval, Leaderboard, Metric


def test_a_heat_map_of_the_wrong_shape_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'AUROC by site'.*\(3, 2\).*\(2, 3\)"):
        HeatMap("AUROC by site", ("a", "b"), ("x", "y", "z"), np.zeros((3, 2)))


def test_two_columns_with_one_key_are_refused():
    with pytest.raises(ValueError, match="different keys"):
        Leaderboard((Metric("a", "A"), Metric("a", "B")), ())


@pytest.mark.parametrize(
    "ends", [(0.1, None), (None, 0.1), (float("nan"), 0.1), (float("nan"), float("nan"))]
)
def test_an_interval_has_two_ends_or_none(ends):
    with pytest.raises(ValueError, match="two ends or none"):
        Interval(0.5, *ends)

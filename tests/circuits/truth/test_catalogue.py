from __future__ import annotations

import pytest

from ulterior.circuits.streams import wire
from ulterior.circuits.truth.catalogue import truth, truths
from ulterior.errors import InputError


def test_there_are_enough_truths_and_each_is_found_by_its_name():
    assert len({one.name for one in truths()}) == len(truths()) >= 8
    assert all(truth(one.name) is one for one in truths())
    with pytest.raises(InputError, match="no truth 'sum'; there are: skip"):
        truth("sum")


def test_each_truth_is_a_part_of_its_own_models_graph():
    for one in truths():
        graph = wire(one.build()).graph
        assert set(one.mask(graph).kept) == one.edges
        assert one.edges <= one.wired < set(graph.edges)

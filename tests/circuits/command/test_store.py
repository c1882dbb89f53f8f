from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import torch

from ulterior.circuits.command.store import Kept, plain
from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.mask import Mask, Scores, random_mask

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=1, n_neurons=3)


def test_scores_and_masks_come_back_as_they_were(tmp_path):
    kept = Kept(tmp_path, {"a": 1})
    mask = random_mask(GRAPH, Units("edges"), 7)
    scores = Scores(GRAPH, Units("nodes"), torch.arange(7.0), "mine")
    for name, value, kind in (("mask", mask, Mask), ("scores", scores, Scores)):
        first = kept(name, lambda value=value: value)
        again = Kept(tmp_path, {"a": 1})(name, lambda: None)
        assert first is value
        assert type(again) is kind
        assert (again.graph, again.units, again.name) == (value.graph, value.units, value.name)
        assert torch.equal(again.values, value.values)


def test_other_settings_begin_anew_and_a_broken_part_is_made_again(tmp_path):
    Kept(tmp_path, {"a": 1})("x y", lambda: (1, 2.5))
    assert Kept(tmp_path, {"a": 1})("x y", lambda: None) == (1, 2.5)
    (tmp_path / "parts" / "x-y.json").write_text("{")
    assert Kept(tmp_path, {"a": 1})("x y", lambda: (3, 4.5)) == (3, 4.5)
    assert Kept(tmp_path, {"a": 2})("x y", lambda: (5, 6.5)) == (5, 6.5)


def test_what_is_no_number_is_null_in_json():
    @dataclass
    class Some:
        values: np.ndarray
        value: float

    text = json.dumps(
        plain({"a": Some(np.array([1.0, math.nan]), math.inf), "b": (1, None)}), allow_nan=False
    )
    assert json.loads(text) == {"a": {"values": [1.0, None], "value": None}, "b": [1, None]}

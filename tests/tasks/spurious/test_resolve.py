"""A new last layer on the features of a network that goes by the cue does better where the features part."""

from __future__ import annotations

from pathlib import Path

import pytest

from ulterior.tasks.classifiers.training import Training
from ulterior.tasks.images.models import CNN
from ulterior.tasks.spurious.recipe import Recipe
from ulterior.tasks.spurious.resolve import resolve

TINY = Recipe("colour", "digits", Training(80, 64), train=600)


def test_the_network_fails_its_worst_group_and_a_layer_that_is_told_of_the_groups_less_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ULTERIOR_HOME", str(tmp_path))
    monkeypatch.setattr(
        "ulterior.tasks.spurious.recipe.architecture_of",
        lambda scene: CNN(*scene.shape[1:], scene.shape[0], filters=(4, 8), hidden=32, classes=2),
    )
    told = resolve(TINY, 0, "last_layer")
    assert told.network < 0.1
    assert told.worst > told.network + 0.2
    assert set(told.groups) == {f"label {label}, cue {cue}" for label in (0, 1) for cue in (0, 1)}
    assert told.worst == min(told.groups.values())
    assert resolve(TINY, 0, "last_layer") == told
    assert resolve(TINY, 0, "trusted").worst < told.worst

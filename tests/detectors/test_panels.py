"""What runs where: by default in one forward pass, and whatever is named."""

from __future__ import annotations

import pytest

from ulterior.bench.run import task_panel
from ulterior.detectors.panels import default_panel, further_panel, named_panel
from ulterior.features.feature import NeedsGradients
from ulterior.serialise import pack, unpack
from ulterior.tasks.registry import MODULES, find_tasks

COLUMNS = {name: name for name in ("text", "outcome", "measurements", "truth")}
KINDS = {
    "tampering": (COLUMNS, True),
    "anomaly": (COLUMNS, False),
    "images": ({**COLUMNS, "image": "x"}, False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_detectors_share_a_name_and_only_named_ones_need_gradients(kind):
    columns, tampering = KINDS[kind]
    named = named_panel("resid.*", "last", columns=columns, tampering=tampering)
    assert len({one.name for one in named}) == len(named)
    default = default_panel("resid.*", "last", columns=columns, tampering=tampering)
    assert set(default) < set(named)
    assert set(further_panel("resid.*", "last")) < set(named)
    graded = [one for one in (*default, *further_panel("resid.*", "last")) if _needs_gradients(one)]
    assert not graded
    assert any(map(_needs_gradients, named))


def _needs_gradients(detector) -> bool:
    return isinstance(detector.feature, NeedsGradients)


@pytest.mark.parametrize("kind", KINDS)
def test_every_named_detector_can_be_saved_with_a_monitor(kind):
    columns, tampering = KINDS[kind]
    for one in named_panel("resid.*", "last", columns=columns, tampering=tampering):
        assert unpack(*pack(one)) == one


@pytest.mark.parametrize("name", MODULES)
def test_every_task_has_its_baseline_and_a_ceiling_that_is_given_the_truth(name):
    (task,) = find_tasks((name,))
    panel = {one.name: one for one in task_panel(task, ())}
    assert task.baseline in panel
    assert any(one.role == "ceiling" for one in panel.values())
    assert any(one.role == "control" for one in panel.values())
    assert set(panel) < {one.name for one in task_panel(task, (), further=True)}


def test_words_are_read_where_there_are_words_and_pixels_where_there_are_pixels():
    names = {
        kind: {one.name for one in default_panel("a", "last", columns=c, tampering=t)}
        for kind, (c, t) in KINDS.items()
    }
    assert "surface" in names["anomaly"]
    assert "surface" not in names["images"]
    assert "pixel_surface" in names["images"]


def test_without_untrusted_examples_nothing_is_compared_with_them():
    modes = {one.mode for one in further_panel("resid.*", "last", untrusted=False)}
    assert modes == {"online"}
    assert {one.name for one in further_panel("resid.*", "last") if one.mode == "offline"} == {
        "likelihood_ratio",
        "spectre",
    }

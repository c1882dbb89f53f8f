"""The procedural tasks with their shipped models: what was planted is there, and the tables are as they say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ulterior.errors import InputError
from ulterior.tasks.procedural.train import PLANTED
from ulterior.tasks.registry import MODULES, find_tasks

NAMES = [name for name, module in MODULES.items() if ".procedural." in module]
every_task = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module", params=NAMES)
def seed(request):
    (task,) = find_tasks((request.param,))
    return PLANTED[request.param], task, task.load(0, "smoke")


def test_what_the_command_trains_are_the_tasks():
    assert set(NAMES) == set(PLANTED)


@every_task
def test_the_shipped_model_does_what_it_was_taught_by_its_own_figures(name):
    metrics = json.loads((PLANTED[name].folder / "metrics.json").read_text())
    assert set(metrics["right"]) == set(PLANTED[name].judged)
    assert min(metrics["right"].values()) >= 0.95


def test_the_shipped_model_is_as_good_as_its_figures_say(seed):
    planted, _, data = seed
    stated = json.loads((planted.folder / "metrics.json").read_text())["right"]
    found = planted.accuracy(data.subject.model, 400, seed=77)
    for kind, share in found.items():
        assert share == pytest.approx(stated[kind], abs=0.04), kind


def test_groups_hold_what_their_names_say_and_truth_follows_the_group(seed):
    planted, _, data = seed
    for table in (data.trusted, data.untrusted, data.test):
        groups = table["group"].astype(str)
        assert np.array_equal(table["anomalous"].astype(bool), np.isin(groups, planted.anomalous))
    assert not data.trusted["anomalous"].any()
    assert set(data.trusted["group"]) == {"trusted"}
    assert 0 < data.untrusted["anomalous"].mean() <= 0.5
    assert set(planted.benign) <= set(data.test["group"].astype(str))


def test_every_slice_has_both_sides_and_the_model_answers_as_the_table_says(seed):
    planted, _, data = seed
    for one in planted.slices:
        rows, labels = one.rows(data.test)
        assert 0 < labels.sum() < len(rows), one.name
    batch = data.subject.collate(data.subject.encode(data.test))
    said = data.subject.run(batch).logits[:, -1].argmax(1).numpy()
    expected = planted.language.numbers(tuple(data.test["answer"].tolist()))
    assert (said == expected).mean() > 0.93


@every_task
def test_seeds_change_the_examples_and_equal_seeds_do_not(name):
    (task,) = find_tasks((name,))
    one, again, other = (task.load(seed, "smoke") for seed in (0, 0, 1))
    assert one.test.table.equals(again.test.table)
    assert set(one.test["text"]) != set(other.test["text"])
    assert task.fingerprint(0, "smoke") == one.subject.fingerprint()
    with pytest.raises(InputError, match="no size 'huge'"):
        task.load(0, "huge")


@pytest.mark.parametrize(
    ("name", "lost", "kept"),
    [
        ("recall", ("copied",), ("recalled", "both ways open")),
        ("repetition", ("long range, other answer",), ("local rule",)),
    ],
)
def test_the_two_ways_do_differ_cutting_one_leaves_the_other(name, lost, kept):
    ways = json.loads((PLANTED[name].folder / "metrics.json").read_text())["ways"]
    assert max(ways[kind] for kind in lost) < 0.2
    assert min(ways[kind] for kind in kept) > 0.9


def test_words_and_pairs_of_words_do_not_tell_quirky_people_from_careful_ones():
    """The surface control of the bench, which sees the text alone."""
    from ulterior.detectors.catalogue import surface
    from ulterior.metrics import auroc
    from ulterior.panel import PanelSettings, fit_panel

    (task,) = find_tasks(("quirky",))
    data = task.load(0, "small")
    panel = fit_panel(
        [surface("text")], data.subject, data.trusted, data.untrusted, settings=PanelSettings(seed=0)
    )
    scores = panel.score(data.subject, data.test)["surface"].fused
    rows, labels = data.slices[0].rows(data.test)
    value = auroc(scores[rows], labels).value
    assert value is not None
    assert abs(value - 0.5) < 0.1

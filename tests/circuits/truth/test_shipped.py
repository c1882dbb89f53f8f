"""The students that are shipped use the circuit that was chosen for them, and nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from ulterior.circuits.mask import mask_of
from ulterior.circuits.streams import wire
from ulterior.circuits.truth.catalogue import ASSETS, imitated_truth
from ulterior.circuits.truth.imitation import exercises, interchange_accuracy, plan_for
from ulterior.circuits.truth.programs import PROGRAMS
from ulterior.circuits.truth.train import EDGES, RECIPES, judged

FOLDERS = sorted(card.parent for card in ASSETS.glob("*/metrics.json"))


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_shipped_student_keeps_to_its_circuit_on_pairs_that_nobody_has_seen(folder):
    truth, metrics = imitated_truth(folder), json.loads((folder / "metrics.json").read_text())
    program, plan = PROGRAMS[metrics["program"]], plan_for(PROGRAMS[metrics["program"]], metrics["seed"])
    assert truth.edges == plan.edges
    wired = wire(truth.build())
    assert set(mask_of(wired.graph, EDGES, truth.edges).kept) == truth.edges
    unseen = exercises(program, plan, 400, seed=777)
    # Three standard errors of 400 are 0.03 at 0.96.
    found = interchange_accuracy(wired.subject.model, plan, unseen, seed=1)
    assert found > metrics["figures"]["interchange"] - 0.03 > 0.9
    (batch,) = truth.pairs(40, 777).batches(wired.subject, tokens=10**6)
    figures = judged(wired, batch, truth.edges)
    assert figures["right"] >= 0.95
    assert figures["right_alone"] >= 0.95, "the circuit alone does what the model does"
    assert figures["right_without"] <= 0.05, "nothing outside the circuit does it"
    assert figures["least_inside"] > 2 * figures["most_outside"], (
        "each of its edges matters more than any other"
    )


def test_each_program_that_the_command_trains_is_shipped():
    assert [folder.name for folder in FOLDERS] == sorted(RECIPES)
    for folder in FOLDERS:
        assert json.loads((folder / "metrics.json").read_text())["recipe"] == asdict(RECIPES[folder.name])

"""Stage one: what it is shown, and a run that goes on exactly where it stopped."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch

from ulterior.measurement.predictor import MeasurementPredictor
from ulterior.tasks.scratch import Architecture, untrained
from ulterior.tasks.tampering.functions import pretraining
from ulterior.tasks.tampering.functions.kinds import BASE, KINDS, held_out
from ulterior.tasks.tampering.functions.pretraining import Pretraining, Programs, pretrain
from ulterior.tasks.tampering.functions.splits import stock
from ulterior.tasks.tampering.functions.stream import executed
from ulterior.tasks.tampering.functions.surface import WRAPPERS
from ulterior.tasks.tampering.functions.tokenizer import train_tokenizer

CONFIG = Pretraining(steps=6, batch=4, round=2, lines_from=3)
SEEDS = range(8)


class Killed(BaseException):
    """Stands for `kill -9`."""


@pytest.fixture(scope="module")
def programs():
    return Programs.of(1)


@pytest.fixture(scope="module")
def tokenizer(programs):
    return train_tokenizer([programs(index).text for index in range(60)], 400)


def fresh() -> MeasurementPredictor:
    torch.manual_seed(0)
    return MeasurementPredictor(
        untrained(Architecture(width=16, layers=1, heads=2, mlp=32, vocabulary=400)), None
    )


def same(a: MeasurementPredictor, b: MeasurementPredictor) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_its_programs_hold_nothing_that_any_seed_holds_out(programs, problems):
    names = {"functions": tuple(problem.name for problem in problems), "kinds": tuple(k.name for k in KINDS)}
    out = {what: frozenset().union(*(held_out(n, what, seed) for seed in SEEDS)) for what, n in names.items()}
    drafts = [programs(index) for index in range(300)]
    assert not {draft.function for draft in drafts} & out["functions"]
    assert not {draft.tampering or draft.look_alike for draft in drafts} & out["kinds"]
    wrappers = {wrapper for seed in SEEDS for wrapper in held_out(tuple(WRAPPERS), "wrappers", seed)}
    for name in ("untrusted", "trusted"):
        assert not wrappers & set(stock(name, problems, BASE).wrappers)
    assert {draft.plan for draft in drafts} == {"real", "fake", "negative", "partial", "lucky"}


def test_a_program_depends_on_its_number_and_the_seed_alone(programs):
    assert programs(17) == Programs.of(1)(17)
    assert programs(17).text != programs(18).text
    assert programs(17).text != Programs.of(2)(17).text


def test_executing_its_programs_gives_what_they_were_planned_to_give(programs, sandbox):
    drafts = [programs(index) for index in range(120)]
    rows = executed(sandbox, drafts)
    assert len(rows) == len(drafts)
    assert all(row.measurements == row.draft.planned for row in rows)
    assert all(row.outcome == (row.draft.plan == "real") for row in rows)
    # What its function would answer by itself is measured where nothing tampers.
    assert all(row.draft.honest == row.draft.planned for row in rows if not row.draft.tampering)
    fakes = [row for row in rows if row.draft.plan == "fake"]
    assert fakes
    assert not any(all(row.draft.honest) for row in fakes)


def test_the_trace_is_what_the_library_knows_of_the_function(programs, problems):
    for index in range(40):
        draft = programs(index)
        flags, answers = programs.trace(draft)
        problem = next(one for one in problems if one.name == draft.function)
        assert flags.shape == (len(draft.tests), 3)
        assert (flags[:, 0] == draft.honest).all()
        assert set(flags[:, 1]) == {float(draft.plan == "real")}
        assert set(flags[:, 2]) == {float(draft.tampering != "")}
        known = answers[~np.isnan(answers)]
        assert len(known) == len(problem.pool)
        assert (draft.plan == "real") == bool(known.all())


def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_weights(tokenizer, tmp_path):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = fresh()
    assert pretrain(whole, tokenizer, CONFIG, tmp_path / "whole", seed=1, save_every=1) == 24
    dies = mock.patch.object(
        pretraining,
        "measurement_loss",
        wraps=pretraining.measurement_loss,
        side_effect=[mock.DEFAULT] * 5 + [Killed],
    )
    with dies, pytest.raises(Killed):
        pretrain(fresh(), tokenizer, CONFIG, tmp_path / "killed", seed=1, save_every=1)
    resumed = fresh()
    pretrain(resumed, tokenizer, CONFIG, tmp_path / "killed", seed=1, save_every=1)
    assert same(whole, resumed)
    assert not same(whole, fresh())
    again = fresh()  # a finished run is only loaded
    pretrain(again, tokenizer, CONFIG, tmp_path / "killed", seed=1)
    assert same(whole, again)

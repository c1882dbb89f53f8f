"""The training loop's parts: schedule, optimisers, and a run that goes on exactly where it stopped."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch

from ulterior.measurement.markers import Marked
from ulterior.measurement.predictor import MeasurementPredictor
from ulterior.tasks.optimiser import schedule
from ulterior.tasks.scratch import Architecture, untrained
from ulterior.tasks.tampering.diamonds import finetuning, pretraining
from ulterior.tasks.tampering.diamonds.data import make_split
from ulterior.tasks.tampering.diamonds.finetuning import Finetuning, finetune
from ulterior.tasks.tampering.diamonds.pretraining import TRACE_WIDTH, Pretraining, pretrain, trace_positions
from ulterior.tasks.tampering.diamonds.program import write_program
from ulterior.tasks.tampering.diamonds.stream import execute
from ulterior.tasks.tampering.diamonds.tokenizer import train_tokenizer

TINY = Architecture(width=16, layers=1, heads=2, mlp=32, vocabulary=400)


class Killed(BaseException):
    """Stands for `kill -9`."""


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([write_program("t", "both", i).text for i in range(100)], 400)


def fresh() -> MeasurementPredictor:
    torch.manual_seed(0)
    return MeasurementPredictor(untrained(TINY))


def same(a: MeasurementPredictor, b: MeasurementPredictor) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def killed_at(module, step):
    """Let the loop in a module take so many steps, then die."""
    return mock.patch.object(
        module,
        "measurement_loss",
        wraps=module.measurement_loss,
        side_effect=[mock.DEFAULT] * step + [Killed],
    )


def test_the_learning_rate_rises_stays_and_falls_to_zero():
    factors = [schedule(step, 1000, warmup=50, decay=0.4) for step in range(1001)]
    assert factors[0] == 1 / 50
    assert set(factors[49:601]) == {1.0}
    assert factors[1000] == 0
    assert factors[600:] == sorted(factors[600:], reverse=True)


def test_pretraining_that_is_killed_goes_on_and_ends_with_the_same_weights(tokenizer, tmp_path):
    config = Pretraining(steps=6, batch=4, round=2)
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = fresh()
    pretrain(whole, tokenizer, config, tmp_path / "whole", seed=1, holdout=0, save_every=1)
    with killed_at(pretraining, 5), pytest.raises(Killed):
        pretrain(fresh(), tokenizer, config, tmp_path / "killed", seed=1, holdout=0, save_every=1)
    resumed = fresh()
    pretrain(resumed, tokenizer, config, tmp_path / "killed", seed=1, holdout=0, save_every=1)
    assert same(whole, resumed)
    assert not same(whole, fresh())
    # A finished run is only loaded.
    again = fresh()
    pretrain(again, tokenizer, config, tmp_path / "killed", seed=1, holdout=0)
    assert same(whole, again)


def test_fine_tuning_that_is_killed_goes_on_and_ends_with_the_same_weights(tokenizer, tmp_path):
    rows = make_split("trusted", 48, seed=0)
    config = Finetuning(batch=8, epochs=2)
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = fresh()
    finetune(whole, tokenizer, rows, config, tmp_path / "whole", seed=1, save_every=2)
    with killed_at(finetuning, 7), pytest.raises(Killed):
        finetune(fresh(), tokenizer, rows, config, tmp_path / "killed", seed=1, save_every=2)
    resumed = fresh()
    finetune(resumed, tokenizer, rows, config, tmp_path / "killed", seed=1, save_every=2)
    assert same(whole, resumed)


def test_fine_tuning_never_sees_the_truth(tokenizer, tmp_path):
    rows = make_split("untrusted", 40, seed=0)
    blind = rows.only("text", "measurements")
    config = Finetuning(batch=8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    a, b = fresh(), fresh()
    finetune(a, tokenizer, rows, config, tmp_path / "a", seed=0)
    finetune(b, tokenizer, blind, config, tmp_path / "b", seed=0)
    assert same(a, b)


def test_an_epoch_has_each_row_once(tokenizer):
    encoded = [Marked((0,) * int(n), (0,)) for n in np.random.default_rng(0).integers(1, 50, 100)]
    batches = finetuning._epoch(encoded, 8, seed=3)
    assert batches.shape == (12, 8)
    assert len(set(batches.ravel())) == 96


def test_trace_positions_are_the_line_breaks_after_each_action(tokenizer):
    rows = execute(lambda i: write_program("trace", "both", i), trace=True)
    chosen = [next(rows) for _ in range(20)]
    rows.close()
    for row, positions in zip(chosen, trace_positions(chosen, tokenizer), strict=True):
        ids = tokenizer(row.program.text)["input_ids"]
        assert len(positions) == len(row.program.templates) == len(row.trace)
        for number, position in enumerate(positions):
            assert tokenizer.decode(ids[position]).startswith("\n")
            before = tokenizer.decode(ids[:position])
            assert before == "\n".join(row.program.pieces[: number + 2])
        assert all(len(flags) == TRACE_WIDTH for flags in row.trace)
        assert row.trace[-1][:4] == (*row.measurements, row.outcome)


def test_pretraining_programs_hold_no_held_out_template():
    from ulterior.tasks.tampering.diamonds.holdouts import BASE, held_out

    out = held_out(BASE)
    programs = [pretraining.pretraining_program(i, 0, 0) for i in range(1_000)]
    assert not any(set(program.templates) & out for program in programs)

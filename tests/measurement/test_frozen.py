"""Frozen blocks run once: training above stored states is the same training."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from transformers import AutoModelForCausalLM

from tests.families import CONFIGS, tokenizer
from tests.measurement.readings import readings, recipe
from tests.measurement.test_training import Killed, killed_after
from ulterior.measurement import trainer as trainers
from ulterior.measurement import training
from ulterior.measurement.collator import Collator, Row
from ulterior.measurement.folder import save_predictor
from ulterior.measurement.frozen import Frozen, StoredStates, frozen_blocks, skipped, store_states
from ulterior.measurement.markers import Marked
from ulterior.measurement.predictor import LossWeights, MeasurementPredictor
from ulterior.measurement.recipe import Optimisation, Running, part_of
from ulterior.measurement.trainable import choose_trainable
from ulterior.measurement.trainer import Objective
from ulterior.measurement.training import train_predictor

FAMILIES = ("llama", "mistral", "gemma2", "gemma3", "gpt_neox", "gpt_neox_serial", "gpt2", "gptj", "codegen")


def deep(family: str = "llama", **changes) -> nn.Module:
    """A random model of four blocks without dropout."""
    config = CONFIGS[family]()
    config.num_hidden_layers = 4
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types * 2
    for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):
        if hasattr(config, name):
            setattr(config, name, 0.0)
    for name, value in changes.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).train()


def predictor(part: str, family: str = "llama", **changes) -> MeasurementPredictor:
    made = MeasurementPredictor(deep(family, **changes), 2)
    choose_trainable(made, part_of(part), "", tokens=True)
    return made


def rows(*lengths: int) -> list[Row]:
    generator = torch.Generator().manual_seed(1)
    return [
        Row(
            Marked(
                tuple(torch.randint(4, 99, (length,), generator=generator).tolist()), (length - 2, length - 1)
            ),
            (True, length % 2 == 0),
            True,
        )
        for length in lengths
    ]


def stored(lm, frozen: Frozen, given: list[Row], path: Path, batch: int = 2) -> list[Row]:
    texts = [row.tokens for row in given]
    states = store_states(lm, frozen, texts, path, batch, Accelerator(cpu=True))
    return [replace(row, states=one) for row, one in zip(given, states, strict=True)]


def loss_and_gradients(objective: Objective, batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    objective.zero_grad()
    loss = objective(**batch)["loss"]
    loss.backward()
    return loss.detach(), {
        name: weight.grad for name, weight in objective.named_parameters() if weight.grad is not None
    }


@pytest.mark.parametrize("part", ["last:1", "last:3", "heads"])
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_gradients_above_stored_states_are_those_of_the_whole_model(family, part, tmp_path):
    objective = Objective(predictor(part, family), LossWeights(token=0.15))
    lm = objective.predictor.lm
    given = rows(9, 3, 14, 6, 14)  # with a window of 5 tokens where a family has one
    frozen = frozen_blocks(lm)
    assert frozen is not None
    assert (len(frozen.blocks), frozen.width) == ({"last:1": 3, "last:3": 1, "heads": 4}[part], 32)
    expected, gradients = loss_and_gradients(objective, Collator(0)(given))
    objective.frozen = frozen
    batch = Collator(0)(stored(lm, frozen, given, tmp_path / "states"))
    with ExitStack() as never:  # what a frozen block is made of does not run
        for block in frozen.blocks:
            for child in block.children():
                never.enter_context(mock.patch.object(child, "forward", side_effect=AssertionError))
        found, others = loss_and_gradients(objective, batch)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    assert others.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, atol=1e-6, rtol=1e-5)


def test_blocks_that_return_tuples_are_replaced_by_such():
    class Block(nn.Module):
        attention_type = "full"

        def forward(self, hidden, mask=None):
            return hidden + 1, mask

    blocks = tuple(Block() for _ in range(3))
    hidden, states = torch.zeros(1, 2, 4), torch.full((1, 2, 4), 7.0)
    with skipped(Frozen(blocks[:2], 4, torch.float32, 2), states):
        assert torch.equal(blocks[0](hidden, mask=3)[0], hidden)
        assert blocks[1](hidden)[0] is states
        assert len(blocks[1](hidden)) == 2
        assert blocks[0].attention_type == "full"
        assert torch.equal(blocks[2](hidden)[0], hidden + 1)
    assert torch.equal(blocks[1](hidden)[0], hidden + 1)


def test_blocks_are_themselves_again_whatever_happens():
    block = nn.Linear(4, 4)
    own = block.forward = mock.Mock(return_value=torch.ones(1))  # as libraries that move weights about do it
    with (
        pytest.raises(ZeroDivisionError),
        skipped(Frozen((block,), 4, torch.float32, None), torch.ones(1, 1, 4)),
    ):
        raise ZeroDivisionError
    assert block.forward is own


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_come_back_from_disk_as_they_were(dtype, tmp_path):
    lm = predictor("last:2").lm.to(dtype)
    frozen = frozen_blocks(lm)
    assert frozen is not None
    assert (frozen.dtype, frozen.token_bytes) == (dtype, 32 * dtype.itemsize)
    given = rows(5, 2, 11)
    found = stored(lm, frozen, given, tmp_path / "states", batch=1)
    assert (tmp_path / "states").stat().st_size == 18 * frozen.token_bytes
    for row in found:
        hidden = lm(
            input_ids=torch.tensor([row.tokens.ids]), output_hidden_states=True, use_cache=False
        ).hidden_states[2]
        assert isinstance(row.states, StoredStates)
        assert row.states.read().dtype == dtype
        torch.testing.assert_close(row.states.read(), hidden[0])
        elsewhere = pickle.loads(pickle.dumps(row))  # in a process that prepares batches
        assert torch.equal(elsewhere.states.read(), row.states.read())


def test_the_number_format_is_that_of_the_autocast():
    lm = predictor("last:2").lm
    with torch.autocast("cpu", torch.bfloat16):
        frozen = frozen_blocks(lm)
    assert frozen is not None
    assert frozen.dtype == torch.float32  # sums stay in float32, though their terms are bfloat16


@pytest.mark.parametrize(
    ("part", "family", "changes"),
    [
        ("all", "llama", {}),
        ("last:4", "llama", {}),
        ("lora:2", "llama", {}),
        ("last:2", "llama", {"attention_dropout": 0.1}),
        ("last:2", "gpt2", {"embd_pdrop": 0.1}),
        ("heads", "gpt2", {"resid_pdrop": 0.1}),
        ("last:2", "gptj", {"attn_pdrop": 0.1}),
        ("last:2", "gpt_neox", {"hidden_dropout": 0.1}),
    ],
)
def test_nothing_is_stored_where_lower_blocks_are_trained_or_random(part, family, changes):
    assert frozen_blocks(predictor(part, family, **changes).lm) is None


def test_dropout_above_does_no_harm_and_unknown_families_are_left_alone():
    made = predictor("last:2")
    made.lm.model.layers[3].self_attn.attention_dropout = 0.1
    assert frozen_blocks(made.lm) is not None
    made.lm.config.model_type = made.lm.model.config.model_type = "unheard_of"
    assert frozen_blocks(made.lm) is None


def trained(out, changes=None, **running):
    """Train four blocks' last one; metrics, the weights before they are rounded, and whether states were stored."""
    weights: dict[str, torch.Tensor] = {}

    def saves(folder, made, *args, **kwargs):
        weights.update(copy.deepcopy(made.state_dict()))
        save_predictor(folder, made, *args, **kwargs)

    running = Running(**{"precision": "fp32", "save_steps": 2, **running})
    options = recipe(**{"train": "last:1", "running": running, **(changes or {})})
    with (
        mock.patch.object(training, "save_predictor", saves),
        mock.patch.object(trainers, "store_states", wraps=store_states) as storing,
    ):
        model = (deep(), tokenizer(pad_token="<pad>"))
        metrics = train_predictor(readings(), model, out, options, seed=3)
    assert not (out / "checkpoints").exists()
    return metrics, weights, storing.called


@pytest.mark.parametrize(
    ("changes", "running"),
    [
        ({}, {}),
        ({"train": "heads"}, {"accumulate": 2}),
        ({"loss": LossWeights(token=0.15)}, {"checkpointing": True}),
    ],
)
def test_a_training_ends_with_the_same_weights_and_metrics(changes, running, tmp_path):
    plain, expected, never = trained(tmp_path / "plain", changes, cache_gb=0.0, **running)
    above, found, stored = trained(tmp_path / "above", changes, **running)
    assert (never, stored) == (False, True)
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, atol=1e-5, rtol=1e-5)
    assert above["train_loss"] == pytest.approx(plain["train_loss"], abs=1e-5)
    sensors = [one["held_out_metrics"]["sensor_auroc"]["value"] for one in (plain, above)]
    assert sensors[0] == pytest.approx(sensors[1], abs=1e-6)


def test_mixed_precision_computes_the_states_in_its_own_format(tmp_path):
    plain, expected, _ = trained(tmp_path / "plain", precision="bf16", cache_gb=0.0)
    above, found, stored = trained(tmp_path / "above", precision="bf16")
    assert stored
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, atol=2e-2, rtol=2e-2)
    assert above["train_loss"] == pytest.approx(plain["train_loss"], abs=2e-2)


def test_an_interrupted_training_stores_the_states_anew_and_ends_with_the_same_weights(tmp_path):
    whole, expected, _ = trained(tmp_path / "whole")
    with killed_after(5), pytest.raises(Killed):
        trained(tmp_path / "killed")
    left = tmp_path / "killed/checkpoints"
    assert [path.name for path in left.iterdir()] == ["checkpoint-4"]  # the states are gone
    (left / "states.bin").write_bytes(b"as if killed without a chance to tidy up")
    shutil.copytree(tmp_path / "killed", tmp_path / "other")
    resumed, found, stored = trained(tmp_path / "killed")
    assert stored
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    assert resumed["held_out_metrics"] == whole["held_out_metrics"]
    # Whether states are stored is no part of what a training is: it may go on without.
    _, found, stored = trained(tmp_path / "other", cache_gb=0.0)
    assert not stored
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, atol=1e-5, rtol=1e-5)


def test_states_are_not_stored_for_one_epoch_nor_beyond_the_limit(tmp_path, capfd):
    one = {"optimisation": Optimisation(rate=1e-2, batch=8, epochs=1)}
    assert not trained(tmp_path / "one", one)[2]
    assert "frozen blocks" not in capfd.readouterr().err
    assert not trained(tmp_path / "small", cache_gb=1e-6)[2]
    assert capfd.readouterr().err.count("the frozen blocks run in every epoch: their states would take") == 1


@pytest.mark.slow
def test_two_processes_share_the_first_pass(tmp_path):
    lm, tokens = deep(), tokenizer(pad_token="<pad>")
    lm.save_pretrained(tmp_path / "base")
    tokens.save_pretrained(tmp_path / "base")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["tests/measurement/launched.py", str(tmp_path / "base"), str(tmp_path / "two"), "last:1"]
    environment = {"PYTHONPATH": ".", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *command], check=True, env=environment, capture_output=True, text=True
    )
    assert "frozen blocks: 100%" in done.stderr
    one = recipe(train="last:1", running=Running(precision="fp32", cache_gb=0.0))
    expected = train_predictor(readings(), tmp_path / "base", tmp_path / "one", one)
    found = json.loads((tmp_path / "two/rank1.json").read_text())
    assert found["steps"] == expected["steps"]
    assert found["train_loss"] == pytest.approx(expected["train_loss"], abs=1e-4)

"""Students: the written-out run is the masked run, training is what it says, and what it makes is a truth."""

from __future__ import annotations

import json

import pytest
import torch

from ulterior.circuits.ablations import Resample
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.streams import Wired, run_model, wire
from ulterior.circuits.truth.catalogue import imitated_truth
from ulterior.circuits.truth.imitation import Recipe, drawn_masks, imitate, plan_for, sequences
from ulterior.circuits.truth.programs import PROGRAMS
from ulterior.circuits.truth.student import Student, edge_run, untrained_student
from ulterior.circuits.truth.train import TrainCircuits, main
from ulterior.circuits.truth.truth import program_pairs, word_subject
from ulterior.errors import InputError

EDGES = Units("edges")
PROGRAM = PROGRAMS["ascending"]


def student() -> Wired:
    torch.manual_seed(0)
    model = untrained_student(Student(len(PROGRAM.words) + 1, PROGRAM.length))
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return wire(word_subject(model, PROGRAM.words, "student"))


def test_a_run_written_out_is_the_masked_run_with_a_mask_an_example():
    of = student()
    (batch,) = program_pairs(PROGRAM, 5, seed=0).batches(of.subject, tokens=10**6)
    clean, corrupted = (side.inputs["input_ids"] for side in (batch.clean, batch.corrupted))
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(5, *of.graph.valid.shape, generator=generator) * of.graph.valid
    theirs = masked_run(of, batch.clean, masks, EDGES, Resample()(of, batch)).logits
    with torch.no_grad():
        plain, _ = edge_run(of.subject.model, of.graph, clean)
        instead = edge_run(of.subject.model, of.graph, corrupted)[1]
        ours, _ = edge_run(of.subject.model, of.graph, clean, masks, instead)
    torch.testing.assert_close(plain, run_model(of.subject, batch.clean).logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_weight_of_a_student():
    of = student()
    ids = sequences(PROGRAM, 6, seed=0)
    masks = torch.full((3, *of.graph.valid.shape), 0.5)
    instead = edge_run(of.subject.model, of.graph, ids[3:])[1]
    edge_run(of.subject.model, of.graph, ids[:3], masks, instead)[0][:, -1].pow(2).sum().backward()
    for name, parameter in of.subject.model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_masks_keep_the_circuit_more_often_than_the_rest_and_hold_only_edges():
    of = student()
    circuit = torch.zeros(of.graph.valid.shape)
    circuit[0, :5] = 1
    masks = drawn_masks(circuit, of.graph.valid, 400, torch.Generator().manual_seed(0))
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert not masks[:, ~of.graph.valid].any()
    inside, outside = circuit.bool() & of.graph.valid, ~circuit.bool() & of.graph.valid
    torch.testing.assert_close(masks[:, inside].mean(), torch.tensor(0.825), rtol=0, atol=0.03)
    torch.testing.assert_close(masks[:, outside].mean(), torch.tensor(0.5), rtol=0, atol=0.07)


def test_training_comes_back_from_its_seed():
    recipe = Recipe(steps=2, batch=8, pool=20)
    first, again = (imitate(PROGRAM, recipe, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.slow
def test_the_command_writes_a_student_that_is_a_truth(tmp_path, capsys):
    main(TrainCircuits("ascending", tmp_path / "model", mode="smoke"))
    said = capsys.readouterr().out
    assert '"right_alone"' in said
    made = imitated_truth(tmp_path / "model")
    assert made.kind == "interchange"
    assert made.edges == plan_for(PROGRAM, 0).edges
    graph = wire(made.build()).graph
    assert set(made.mask(graph).kept) == made.edges
    figures = json.loads((tmp_path / "model" / "metrics.json").read_text())["figures"]
    assert f"{figures['right']:.3f}" in (tmp_path / "model" / "README.md").read_text()
    with pytest.raises(InputError, match="no model that `ulterior train circuits` made"):
        imitated_truth(tmp_path)

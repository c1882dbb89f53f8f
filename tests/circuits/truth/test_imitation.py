"""Students: the written-out run is the masked run, training is what it says, and what it makes is a truth."""

from __future__ import annotations

import json

import pytest
import torch

from ulterior.circuits.ablations import Resample
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import mask_of
from ulterior.circuits.streams import Wired, run_model, wire
from ulterior.circuits.truth.catalogue import imitated_truth
from ulterior.circuits.truth.compiler import compile_plan
from ulterior.circuits.truth.imitation import (
    Recipe,
    drawn_masks,
    exercises,
    imitate,
    interchange_accuracy,
    plan_for,
    sequences,
)
from ulterior.circuits.truth.language import interpret
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


def test_masks_keep_the_shares_that_were_asked_for_of_some_edges_and_no_others():
    where = torch.zeros(student().graph.valid.shape)
    where[0, :5] = 1
    masks = drawn_masks(where, (1.0, 0.5), 2_000, torch.Generator().manual_seed(0))
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert not masks[:, where == 0].any()
    kept = masks[:, where == 1]
    # Half of the masks are whole, and 1 in 32 of the others by chance: 0.516, with a standard error of 0.011.
    assert abs(float(kept.all(1).float().mean()) - 0.516) < 0.05
    assert abs(float(kept.mean()) - 0.75) < 0.03


def test_an_exercise_has_the_answer_of_the_compiled_program_under_the_same_exchange():
    plan = plan_for(PROGRAM, 0)
    given = exercises(PROGRAM, plan, 40, seed=2)
    assert given.meant.shape == (40, len(PROGRAM.words) + 1)
    torch.testing.assert_close(given.meant.sum(1), torch.ones(40))
    teacher = wire(word_subject(compile_plan(plan), PROGRAM.words, "teacher"))
    ids = {word: number for number, word in enumerate(("<pad>", *PROGRAM.words))}
    words = {number: word for word, number in ids.items()}
    kept = given.inside[:, mask_of(teacher.graph, EDGES, plan.edges).values > 0]
    whole, none = kept.all(1), ~kept.any(1)
    assert int(whole.sum()) > 5
    # All of the circuit kept: the program's answer to the clean sequence; all of it exchanged: to the other one.
    for rows, side in ((whole, given.clean), (none, given.other)):
        for sequence, said in zip(side[rows], given.meant[rows].argmax(1), strict=True):
            answer = interpret(PROGRAM.output, [words[int(one)] for one in sequence])
            assert words[int(said)] == str(answer)


def test_interchange_accuracy_is_a_share_and_a_model_that_learned_nothing_has_little_of_it():
    plan = plan_for(PROGRAM, 0)
    given = exercises(PROGRAM, plan, 60, seed=4)
    found = interchange_accuracy(student().subject.model, plan, given, seed=0)
    assert 0 <= found < 0.9
    # Every answer is right where every answer may be.
    assert interchange_accuracy(student().subject.model, plan, given, seed=0, tie=1.0) == 1.0


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

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.circuits.finding import known as truth
from tests.circuits.finding.known import known, known_pairs
from ulterior.circuits.ablations import Resample
from ulterior.circuits.finding.gates import AnnealedSigmoid, HardConcrete
from ulterior.circuits.finding.learned import EdgePruning, SigmoidMask
from ulterior.circuits.finding.objective import errors
from ulterior.circuits.finding.runs import Ready, Said
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.metrics import kl, logit_difference
from ulterior.circuits.streams import Streams
from ulterior.errors import InputError
from ulterior.readouts import last_logits

EDGES, NODES, NEURONS = Units("edges"), Units("nodes"), Units("neurons")
MAKERS = [EdgePruning, SigmoidMask]
QUICK = {"steps": 120}


@pytest.mark.parametrize("make", MAKERS)
def test_exactly_the_known_edges_are_kept_and_the_size_that_was_asked_for_is_met(make):
    of, given = known(), known_pairs()
    finder = make(size=5, **QUICK)
    trained = finder.train(of.subject, given, EDGES, kl)
    mask = trained.scores.top(5, signed=True)
    assert set(mask.kept) == truth.EDGES
    # Before any rounding, of 46.
    assert abs(trained.size - 5) < 0.75
    assert set(trained.scores.above(0.5).kept) == truth.EDGES


@pytest.mark.parametrize("make", MAKERS)
def test_the_known_nodes_are_kept_with_the_metric_itself_as_the_objective(make):
    of, given = known(), known_pairs()
    mask = make(size=4, objective="squared", steps=100)(of.subject, given, NODES, logit_difference)
    assert set(mask.kept) == truth.NODES
    assert mask.is_binary


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS)
def test_without_a_size_the_weight_alone_leaves_what_is_worth_it(make):
    of, given = known(), known_pairs()
    mask = make(size=None, weight=0.5, steps=150)(of.subject, given, NODES, kl)
    assert set(mask.kept) == truth.NODES


@pytest.mark.parametrize("make", MAKERS)
def test_a_seed_gives_the_same_scores_again_and_masks_of_several_sizes_are_nested(make):
    of, given = known(), known_pairs(8, 3)
    # Small batches, whose order is drawn.
    finder = make(size=5, steps=12, tokens=9, result="scores")
    first, again = (finder(of.subject, given, EDGES, kl) for _ in range(2))
    assert torch.equal(first.values, again.values)
    other = replace(finder, seed=1)(of.subject, given, EDGES, kl)
    assert not torch.equal(first.values, other.values)
    masks = first.nested((2, 7, 20))
    assert [len(mask) for mask in masks] == [2, 7, 20]
    assert set(masks[0].kept) < set(masks[1].kept) < set(masks[2].kept)


class CutOffError(Exception):
    pass


def cut_off_after(calls: int):
    """The divergence as a metric, which fails once it was asked for so often."""
    left = [calls]

    def metric(output, pairs, reference=None):
        left[0] -= 1
        if left[0] < 0:
            raise CutOffError
        return kl(output, pairs, reference)

    metric.__name__ = "kl"
    return metric


@pytest.mark.parametrize("make", MAKERS)
def test_a_training_that_was_cut_off_ends_as_one_that_was_not(make, tmp_path):
    of, given = known(), known_pairs(8, 3)
    file = tmp_path / "kept.safetensors"
    plain = make(size=5, steps=12, tokens=9, objective="distance", save_every=5)
    kept = replace(plain, checkpoint=file)
    whole = plain.train(of.subject, given, EDGES, kl)
    with pytest.raises(
        CutOffError
    ):  # three batches are made ready with two metrics each; then there is one a step
        kept.train(of.subject, given, EDGES, cut_off_after(6 + 8))
    resumed = kept.train(of.subject, given, EDGES, kl)
    assert resumed.losses == whole.losses[5:]
    assert torch.equal(resumed.scores.values, whole.scores.values)
    with pytest.raises(InputError, match="another training"):
        replace(kept, seed=5).train(of.subject, given, EDGES, kl)
    file.write_text("{")
    with pytest.raises(InputError, match="no checkpoint that can be read"):
        kept.train(of.subject, given, EDGES, kl)


@pytest.mark.parametrize("make", MAKERS)
def test_errors_of_single_examples_do_not_cancel(make):
    of, some = known(), known_pairs(6)
    given = some.take([*range(6), *range(6)])

    def signed(output, pairs, reference=None):
        """Every example is there twice, once with each sign: the batch mean is 0 whatever the circuit."""
        sign = torch.tensor(np.where(pairs.rows < 6, 1.0, -1.0), dtype=torch.float32)
        return sign * logit_difference(output, pairs)

    mask = make(size=4, objective="squared", steps=80)(of.subject, given, NODES, signed)
    assert set(mask.kept) == truth.NODES


def test_an_error_is_that_of_each_example_in_its_own_units():
    (batch,) = known_pairs(2).batches(known().subject)
    logits = torch.randn(2, 1, truth.VOCAB, generator=torch.Generator().manual_seed(0))
    output = type("Output", (), {"logits": logits})()
    ready = Ready(
        batch,
        Streams(torch.zeros(1, 1, 1, 1)),
        Said(torch.zeros(2, truth.VOCAB), torch.tensor([1.0, -1.0])),
    )

    def nothing(output, pairs, reference=None):
        return torch.zeros(2)

    assert errors("distance", output, ready, nothing).tolist() == [1.0, 1.0]
    assert errors("squared", output, ready, nothing).tolist() == [1.0, 1.0]
    assert errors("drop", output, ready, nothing).tolist() == [1.0, -1.0]
    expected = -kl(output, batch, torch.zeros(2, truth.VOCAB))
    torch.testing.assert_close(errors("kl", output, ready, nothing), expected)
    assert float(errors("kl", output, ready, nothing, Said(logits[:, 0], torch.zeros(2))).abs().max()) < 1e-6


def test_completeness_adds_how_far_the_complement_is_from_the_empty_circuit():
    of, given = known(), known_pairs(6)
    (batch,) = given.batches(of.subject)
    ablated = Resample()(of, batch)
    exists = EDGES.exists(of.graph)

    def said(mask):
        output = masked_run(of, batch.clean, mask * exists, EDGES, ablated)
        return last_logits(output, batch.clean)

    def divergence(theirs, ours):
        theirs, ours = theirs.log_softmax(1), ours.log_softmax(1)
        return float((theirs.exp() * (theirs - ours)).sum(1).mean())

    gate = torch.full(exists.shape, 1 / (1 + np.exp(-1.0)), dtype=torch.float32)
    whole, empty, ours, left = (said(one) for one in (exists * 1.0, exists * 0.0, gate, 1 - gate))
    finder = SigmoidMask(size=None, weight=0.0, completeness=0.5, steps=1)
    (loss,) = finder.train(of.subject, given, EDGES, kl).losses
    expected = (divergence(whole, ours) + 0.5 * divergence(empty, left)) / divergence(whole, empty)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_units_by_position_and_neurons_learn_too():
    of, given = known(), known_pairs(6)
    for units in (Units("nodes", 4), NEURONS):
        for make in MAKERS:
            trained = make(size=0.5, steps=3).train(of.subject, given, units, kl)
            assert trained.scores.values.shape == units.shape(of.graph)
            assert float(trained.scores.flat.std()) > 0  # not all have moved alike
            assert len(make(size=0.5, steps=1)(of.subject, given, units, kl)) == round(
                0.5 * units.count(of.graph)
            )


def test_a_hard_concrete_gate_is_open_as_often_as_it_says():
    numbers = torch.tensor([-2.0, 0.0, 1.5])
    gates = HardConcrete()
    drawn = gates.drawn(numbers, 20_000, 0.0, torch.Generator().manual_seed(0))
    assert drawn.min() == 0
    assert drawn.max() == 1
    # Four standard errors of a share of 20,000 draws.
    torch.testing.assert_close((drawn > 0).float().mean(0), gates.open(numbers, 0.0), rtol=0, atol=0.015)


def test_an_annealed_sigmoid_ends_as_a_step():
    numbers = torch.tensor([-0.1, 0.1])
    gates = AnnealedSigmoid()
    torch.testing.assert_close(gates.open(numbers, 0.0), torch.sigmoid(numbers))
    torch.testing.assert_close(gates.open(numbers, 1.0), torch.tensor([0.0, 1.0]), rtol=0, atol=1e-6)


def test_what_cannot_be_learned_is_refused():
    of, given = known(), known_pairs(4)
    with pytest.raises(InputError, match="0 to 46, or a share below 1"):
        EdgePruning(size=47)(of.subject, given, EDGES, kl)
    same = replace(given, corrupted=given.clean)
    with pytest.raises(InputError, match="no worse"):
        EdgePruning(size=5)(of.subject, same, EDGES, kl)

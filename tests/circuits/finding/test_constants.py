from __future__ import annotations

import copy

import pytest
import torch

from tests.circuits.finding.known import known, known_pairs
from tests.circuits.models import pairs, wired
from ulterior.circuits.ablations import Zero, mean_of
from ulterior.circuits.finding.activation_patching import ActivationPatching
from ulterior.circuits.finding.constants import OptimalConstant
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import full_mask
from ulterior.circuits.metrics import kl
from ulterior.circuits.streams import run_model, wire
from ulterior.errors import InputError
from ulterior.readouts import last_logits

EDGES, NODES, NEURONS = Units("edges"), Units("nodes"), Units("neurons")


def divergence(of, given, mask, ablated) -> float:
    """The mean divergence under a mask."""
    (batch,) = given.batches(of.subject, 10**6)
    whole = last_logits(run_model(of.subject, batch.clean), batch.clean)
    like = next(of.subject.model.parameters())
    neurons = mask.units.grain == "neurons"
    output = masked_run(
        of, batch.clean, mask.values.to(like), mask.units, ablated(of, batch, neurons=neurons)
    )
    return -float(kl(output, batch, whole).mean())


def test_a_node_that_always_adds_the_same_gets_just_that_and_then_costs_nothing():
    of = known()
    model = copy.deepcopy(of.subject.model)
    # Its feed-forward layer of block 0 now adds a constant of the third part, which the logits read.
    mlp = model.model.layers[0].mlp
    constant = torch.linspace(-1, 1, 24)
    mlp.down_proj.bias = torch.nn.Parameter(constant)
    changed = wire(type(of.subject)(**{**vars_of(of.subject), "model": model}))
    given = known_pairs(6)
    mask = full_mask(changed.graph, NODES).without(["mlp.0"])
    found = OptimalConstant(mask, start="zero", steps=120)(changed.subject, given, NODES, kl)
    before, after = (divergence(changed, given, mask, one) for one in (Zero(), found))
    assert before > 0.01
    assert after < 0.01 * before  # from steps of a fixed rate, which end near the best, not on it
    # The mean is the constant itself, and cannot be bettered.
    by_mean = OptimalConstant(mask, steps=2)(changed.subject, given, NODES, kl)
    torch.testing.assert_close(by_mean.streams.sources[0, 0, 3], constant)


def vars_of(subject):
    names = ("name", "model", "encode", "collate", "readouts", "options")
    return {name: getattr(subject, name) for name in names}


@pytest.mark.parametrize("units", [NODES, NEURONS], ids=lambda units: units.grain)
def test_learned_constants_hurt_less_than_the_mean_and_the_mean_less_than_zero(units):
    of, given = wired("gpt2"), pairs(6, 4)
    gone = ["mlp.0", "head.1.2"] if units.grain == "nodes" else ["head.1.2", "neuron.0.3", "neuron.0.4"]
    mask = full_mask(of.graph, units).without(gone)
    found = OptimalConstant(mask, steps=60)(of.subject, given, units, kl)
    mean = mean_of(of, given, neurons=True)
    optimal, usual = (divergence(of, given, mask, one) for one in (found, mean))
    assert optimal < 0.9 * usual
    assert found.streams.sources.requires_grad is False


def test_one_unit_at_a_time_the_importance_that_is_left_is_smaller_than_under_the_mean():
    of, given = known(), known_pairs(6)
    found = OptimalConstant("single", steps=100)(of.subject, given, NODES, kl)
    by_mean, by_optimal = (
        ActivationPatching(ablation=one)(of.subject, given, NODES, kl) for one in ("mean", found)
    )
    assert float(by_optimal.values.sum()) < float(by_mean.values.sum())


def test_constants_are_the_same_for_a_seed_and_a_share_of_edges_can_be_off():
    of, given = known(), known_pairs(6)
    first, again = (OptimalConstant(0.3, steps=5, seed=2)(of.subject, given, EDGES, kl) for _ in range(2))
    assert torch.equal(first.streams.sources, again.streams.sources)
    assert first.name == "optimal"


def test_training_that_does_not_help_gives_the_start_back():
    of, given = known(), known_pairs(4)
    # Nothing is off: no constant changes anything.
    found = OptimalConstant(full_mask(of.graph, NODES), steps=2)(of.subject, given, NODES, kl)
    assert torch.equal(found.streams.sources, mean_of(of, given).streams.sources)


def test_shares_and_circuits_that_do_not_fit_are_refused():
    of, given = known(), known_pairs(4)
    with pytest.raises(InputError, match="above 0 and at most 1"):
        OptimalConstant(0.0)(of.subject, given, NODES, kl)
    with pytest.raises(InputError, match="the circuit is over"):
        OptimalConstant(full_mask(of.graph, NODES))(of.subject, given, EDGES, kl)

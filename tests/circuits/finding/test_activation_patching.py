from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.circuits.finding.known import EDGES as KNOWN_EDGES
from tests.circuits.finding.known import NODES as KNOWN_NODES
from tests.circuits.finding.known import known, known_pairs
from tests.circuits.models import one_batch, pairs, wired
from ulterior.circuits.ablations import Resample
from ulterior.circuits.finding.activation_patching import ActivationPatching
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import full_mask, mask_of
from ulterior.circuits.metrics import kl, logit_difference
from ulterior.circuits.streams import run_model
from ulterior.errors import InputError

EDGES, NODES, NEURONS = Units("edges"), Units("nodes"), Units("neurons")
CLOSE = {"rtol": 0.0, "atol": 2e-6}  # metrics are read in float32


@pytest.mark.parametrize(
    "units", [EDGES, NODES, NEURONS, Units("nodes", 7)], ids=lambda units: f"{units.grain}-{units.positions}"
)
def test_each_effect_is_that_of_one_run_with_one_unit_off_or_on(units):
    of, given = wired("llama"), pairs(2)
    batch = one_batch(of, given)
    ablated = Resample()(of, batch, neurons=True)
    off = ActivationPatching("noising")(of.subject, given, units, logit_difference)
    on = ActivationPatching("denoising", tokens=300)(of.subject, given, units, logit_difference)

    def value(values: torch.Tensor) -> float:
        output = masked_run(of, batch.clean, values.double(), units, ablated)
        return float(logit_difference(output, batch).mean())

    whole = float(logit_difference(run_model(of.subject, batch.clean), batch).mean())
    empty = value(full_mask(of.graph, units, 0.0).values)
    names = units.names(of.graph)
    for name in names[:: max(1, len(names) // 5)]:
        without = value(full_mask(of.graph, units).without([name]).values)
        alone = value(mask_of(of.graph, units, [name]).values)
        np.testing.assert_allclose(off.as_dict()[name], whole - without, **CLOSE)
        np.testing.assert_allclose(on.as_dict()[name], alone - empty, **CLOSE)


def test_effects_do_not_depend_on_how_runs_are_cut_or_on_padding():
    of, given = wired("gpt2"), pairs(3, ragged=True)
    whole = ActivationPatching(tokens=10**4)(of.subject, given, NODES, logit_difference)
    small = ActivationPatching(tokens=8)(of.subject, given, NODES, logit_difference)
    torch.testing.assert_close(small.values, whole.values, rtol=1e-5, atol=2e-6)


def test_one_link_of_a_chain_matters_to_the_model_and_nothing_by_itself():
    of, given = known(), known_pairs()
    off = ActivationPatching("noising")(of.subject, given, EDGES, kl).as_dict()
    on = ActivationPatching("denoising")(of.subject, given, EDGES, kl).as_dict()
    for name in EDGES.names(of.graph):
        assert off[name] > 1 if name in KNOWN_EDGES else abs(off[name]) < 1e-5
        assert abs(on[name]) < 1e-4  # every path to the logits has at least two edges
    nodes = ActivationPatching("noising")(of.subject, given, NODES, kl)
    assert set(nodes.above(1.0).kept) == KNOWN_NODES


def test_too_many_units_are_refused_before_any_work():
    of = wired("llama")
    with pytest.raises(InputError, match=r"once for each of 105 neurons.*most=50"):
        ActivationPatching(most=50)(of.subject, pairs(), NEURONS, logit_difference)

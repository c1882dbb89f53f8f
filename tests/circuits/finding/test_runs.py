from __future__ import annotations

import pytest
import torch

from tests.circuits.finding.known import known, known_pairs
from ulterior.circuits.finding.activation_patching import ActivationPatching
from ulterior.circuits.finding.runs import ReadyBatches, repeated, run_variants
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import random_mask
from ulterior.circuits.metrics import kl, logit_difference
from ulterior.subject import RowError

EDGES, NODES = Units("edges"), Units("nodes")


def test_masks_side_by_side_give_what_each_gives_alone_for_the_pairs_that_it_says():
    of, given = known(), known_pairs(3)
    (ready,) = ReadyBatches(of, given, EDGES, kl, "resample", 1024)
    masks = torch.stack([random_mask(of.graph, EDGES, 30, seed).values for seed in range(4)])
    output, many = run_variants(of, ready, masks, EDGES)
    together = logit_difference(output, many.pairs).view(4, 3)
    for number, mask in enumerate(masks):
        alone = logit_difference(masked_run(of, ready.pairs.clean, mask, EDGES, ready.ablated), ready.pairs)
        torch.testing.assert_close(together[number], alone, rtol=1e-4, atol=1e-5)
    assert many.pairs.rows.tolist() == ready.pairs.rows.tolist() * 4
    assert torch.equal(many.whole.logits[3:6], ready.whole.logits)
    assert repeated(ready, 1) is ready


def test_constants_for_all_examples_are_not_copied_for_each():
    of, given = known(), known_pairs(3)
    (ready,) = ReadyBatches(of, given, NODES, kl, "mean", 1024)
    assert repeated(ready, 5).ablated.sources.shape[0] == 1


def test_what_does_not_fit_in_memory_is_computed_again_to_the_same(monkeypatch):
    of, given = known(), known_pairs(5)
    kept = ActivationPatching("denoising", tokens=8)(of.subject, given, NODES, logit_difference)
    monkeypatch.setattr("ulterior.circuits.finding.runs.KEPT_BYTES", 0)
    batches = ReadyBatches(of, given, NODES, kl, "resample", 8)
    assert len(batches) == 3
    assert batches[0] is not batches[0]
    again = ActivationPatching("denoising", tokens=8)(of.subject, given, NODES, logit_difference)
    assert torch.equal(again.values, kept.values)


def test_a_metric_that_is_no_number_names_the_pairs():
    of, given = known(), known_pairs(4)

    def broken(output, pairs, reference=None):
        return torch.where(torch.from_numpy(pairs.rows) == 2, torch.nan, 0.0)

    with pytest.raises(RowError, match=r"row 2 .*NaN or infinite"):
        ActivationPatching()(of.subject, given, NODES, broken)

"""Detectors over circuits find another mechanism in a small decoder, and say what they cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.families import VOCAB, texts
from tests.features.test_attributions import subject_of
from tests.test_serialise import through_disk
from ulterior.bench.costs import reading_costs
from ulterior.detectors.circuits import circuit_ancestor, circuit_edges, circuit_panel, circuit_shares
from ulterior.examples import Examples, concat
from ulterior.measurement.methods import Cost
from ulterior.metrics import auroc
from ulterior.panel import fit_panel

NAMES = ["circuit_edges", "circuit_shares", "circuit_faithfulness", "circuit_distance"]
LENGTH = 8


def last_logit(output, batch):
    """One logit after the last token."""
    last = batch.positions["last"][:, 0]
    return output.logits[range(len(last)), last, VOCAB // 2]


def texts_of(words: range, n: int, seed: int) -> Examples:
    """Random texts of some words only."""
    drawn = np.random.default_rng(seed).choice(list(words), (n, LENGTH))
    return Examples.of(text=[" ".join(f"w{word}" for word in row) for row in drawn])


@pytest.mark.filterwarnings("ignore::ulterior.scores.shrinkage.SmallSampleWarning")
def test_other_edges_are_found_in_texts_of_other_words_and_fresh_trusted_texts_are_as_usual():
    """A random network's circuit depends on its words: few words have few circuits, and others have others."""
    subject = subject_of("llama")
    subject = replace(subject, readouts={**subject.readouts, "behaviour": last_logit})
    trusted, usual, other = (
        texts_of(words, n, seed)
        for words, n, seed in ((range(4), 160, 0), (range(4), 60, 1), (range(40, 44), 60, 2))
    )
    panel = fit_panel(circuit_panel(), subject, trusted)
    assert not panel.skipped
    assert [one.detector.name for one in panel.detectors] == NAMES
    scores = panel.score(subject, concat([usual, other]))
    found = {name: auroc(scores[name].fused, np.repeat([0, 1], 60)).value for name in scores}
    assert min(found["circuit_edges"] or 0, found["circuit_shares"] or 0) > 0.95, found
    assert (found["circuit_distance"] or 0) > 0.9, found
    for name, said in scores.items():
        assert (said.p[:60] <= 0.05).mean() < 0.25, name
    costs = reading_costs([one.detector for one in panel.detectors], subject, usual)
    assert costs == dict(zip(NAMES, (Cost(2.0, 1.0), Cost(2.0, 1.0), Cost(2.0), Cost(2.0, 1.0)), strict=True))


@pytest.mark.filterwarnings("ignore::ulterior.scores.shrinkage.SmallSampleWarning")
def test_shares_do_not_ask_how_large_the_output_is_and_edges_do():
    subject = subject_of("llama")
    as_it_is, large = (
        replace(
            subject,
            readouts={**subject.readouts, "behaviour": lambda out, batch, by=by: by * last_logit(out, batch)},
        )
        for by in (1.0, 10.0)
    )
    trusted, others = texts_of(range(4), 160, 0), texts_of(range(4), 40, 1)
    panel = fit_panel((circuit_edges(), circuit_shares()), as_it_is, trusted)
    before, after = (panel.score(one, others) for one in (as_it_is, large))
    np.testing.assert_allclose(
        after["circuit_shares"].fused, before["circuit_shares"].fused, rtol=1e-3, atol=1e-4
    )
    assert (after["circuit_edges"].p <= 0.05).all()
    assert (after["circuit_shares"].p <= 0.05).mean() < 0.25


def test_every_detector_goes_through_the_disk_and_an_ancestor_costs_a_backward_pass_a_sensor():
    for detector in (*circuit_panel(), circuit_ancestor()):
        assert through_disk(detector) == detector
    subject = subject_of("llama")
    costs = reading_costs([circuit_ancestor()], subject, Examples.of(text=texts(4, 5)))
    assert costs == {"circuit_ancestor": Cost(2.0, 3.0)}

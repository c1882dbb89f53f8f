"""Judging circuits on held-out pairs, example by example: how faithful, complete, minimal and stable they are."""

from ulterior.circuits.judging.conditions import Conditions, conditions
from ulterior.circuits.judging.evaluation import Evaluation, Thoroughness, evaluate
from ulterior.circuits.judging.faithfulness import Faithfulness, faithfulness
from ulterior.circuits.judging.overlap import Overlap, mask_overlap, overlap
from ulterior.circuits.judging.scrubbing import Hypothesis, Scrubbed, scrub
from ulterior.circuits.judging.stability import Stability, over_resamples, over_seeds_of

__all__ = [
    "Conditions",
    "Evaluation",
    "Faithfulness",
    "Hypothesis",
    "Overlap",
    "Scrubbed",
    "Stability",
    "Thoroughness",
    "conditions",
    "evaluate",
    "faithfulness",
    "mask_overlap",
    "over_resamples",
    "over_seeds_of",
    "overlap",
    "scrub",
]

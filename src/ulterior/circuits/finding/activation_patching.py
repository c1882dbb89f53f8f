"""Activation patching: what switching one unit off, or one unit on, does to the metric, by running the model so.

The slow and exact reference of everything that estimates it (attribution patching). "Noising" starts from the model
and ablates one unit; "denoising" starts from the ablated model and restores one unit (Heimersheim and Nanda 2024, "How
to use and interpret activation patching", arXiv 2404.15255). They differ wherever units stand in for each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from ulterior.circuits.ablations import Ablation
from ulterior.circuits.finding.runs import Ready, ReadyBatches, finite, run_variants
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import Scores
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import Pairs
from ulterior.circuits.streams import Wired, wire
from ulterior.errors import InputError
from ulterior.subject import Subject

__all__ = ["ActivationPatching"]


@dataclass(frozen=True)
class ActivationPatching:
    """The effect of each unit by itself, averaged over pairs.

    Attributes:
        mode: ``noising``: m(M) - m(M without the unit); ``denoising``: m(the unit alone) - m(nothing).
        ablation: What stands in for what is off: an ablation or its name.
        tokens: Tokens in a run; several units are tried side by side where they fit.
        most: Units above which the work is refused, for it takes one run a unit.
        progress: Whether a bar is shown.
    """

    mode: Literal["noising", "denoising"] = "noising"
    ablation: Ablation | str = "resample"
    tokens: int = 2048
    most: int = 50_000
    progress: bool = False
    name: str = "activation_patching"

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Scores:
        """Scores ``units.shape(graph)``, in the metric's units; positive where keeping the unit helps.

        Raises:
            InputError: no pairs, more units than ``most``, a model that has no circuits.
            RowError: a metric that is not finite on some pairs.
        """
        wired = wire(subject)
        count = units.count(wired.graph)
        if count > self.most:
            raise InputError(
                f"activation patching runs the model once for each of {count} {units.grain}; raise most={self.most} if"
                " that is meant, or estimate the effects by attribution"
            )
        batches = ReadyBatches(
            wired, pairs, units, metric, self.ablation, self.tokens, with_empty=self.mode == "denoising"
        )
        exists = units.exists(wired.graph)
        total = torch.zeros(count, dtype=torch.float64)
        with tqdm(
            total=count * len(batches), desc=self.name, leave=False, disable=None if self.progress else True
        ) as bar:
            for ready in batches:
                at_once = max(1, self.tokens // ready.tokens)
                for some in torch.arange(count).split(at_once):
                    total[some] += self._effects(wired, ready, some, exists, units, metric)
                    bar.update(len(some))
        values = torch.zeros(exists.shape)
        values[exists] = (total / len(pairs)).float()
        return Scores(wired.graph, units, values, self.name)

    def _effects(
        self, wired: Wired, ready: Ready, some: Tensor, exists: Tensor, units: Units, metric: Metric
    ) -> Tensor:
        """Effects of some units, summed over the pairs of a batch."""
        on = self.mode == "denoising"
        own = torch.full((len(some), int(exists.sum())), 0.0 if on else 1.0)
        own[torch.arange(len(some)), some] = 1.0 if on else 0.0
        masks = torch.zeros(len(some), *exists.shape)
        masks[:, exists] = own
        output, many = run_variants(wired, ready, masks, units)
        value = finite(metric(output, many.pairs, many.whole.logits), many.pairs)
        value = value.double().view(len(some), -1)
        if on:
            assert ready.empty is not None
            return (value - ready.empty.value.double()).sum(1).cpu()
        return (ready.whole.value.double() - value).sum(1).cpu()

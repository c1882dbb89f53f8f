"""A tiny model in a folder with pairs beside it, and a method that needs no gradients."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.families import tiny, tokenizer
from ulterior.circuits.ablations import Resample
from ulterior.circuits.graph import Units
from ulterior.circuits.judging.conditions import conditions, run_masks
from ulterior.circuits.mask import Mask, Scores, full_mask, random_mask
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import Pairs
from ulterior.circuits.streams import wire
from ulterior.subject import Subject


@dataclass(frozen=True)
class LeaveOneOut:
    """The effect of each unit by leaving it out: the definition itself, for small models."""

    ablation: str = "resample"
    name: str = "leave_one_out"

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Scores:
        given = conditions(subject, pairs, metric, Resample(), neurons=units.grain == "neurons")
        full = full_mask(wire(subject).graph, units)
        names = full.names
        values = run_masks(given, [full, *(full.without([name]) for name in names)])[0].mean(1)
        scores = torch.zeros(full.values.shape)
        scores[units.exists(full.graph)] = torch.from_numpy(values[0] - values[1:]).float()
        return Scores(full.graph, units, scores, self.name)


@dataclass(frozen=True)
class Drawn:
    """A method that returns a mask."""

    seed: int = 0
    name: str = "drawn"

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Mask:
        return random_mask(wire(subject).graph, units, 12, self.seed)


FINDERS = {"leave_one_out": LeaveOneOut, "drawn": Drawn}


def save_model(folder: Path, family: str = "llama") -> Path:
    tiny(family).save_pretrained(folder)
    tokenizer(pad_token="<pad>").save_pretrained(folder)
    return folder


def save_pairs(path: Path, model: Path, n: int = 12) -> Path:
    """Pairs of five words that differ in the third, answered as the model prefers."""
    subject = Subject.from_pretrained(str(model))
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(0, 95, (n, 6), generator=generator).tolist()
    clean = [" ".join(f"w{word}" for word in row[:5]) for row in words]
    corrupted = [" ".join(f"w{word}" for word in (*row[:2], row[5], *row[3:5])) for row in words]
    from ulterior.examples import Examples

    def logits(texts: list[str]) -> torch.Tensor:
        batch = subject.collate(subject.encode(Examples.of(text=texts)))
        with torch.no_grad():
            return subject.model(**batch.inputs).logits[:, -1]

    best = (logits(clean) - logits(corrupted))[:, 4:]
    rows = [
        {
            "clean": clean[row],
            "corrupted": corrupted[row],
            "answers": f" w{int(best[row].argmax())}",
            "wrong": f" w{int(best[row].argmin())}",
        }
        for row in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path

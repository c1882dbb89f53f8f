"""Small subjects with a planted mechanism, for tests of what stands on top of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ulterior.examples import Examples
from ulterior.subject import Subject

WIDTH = 6


class Counted(nn.Module):
    """A small network that counts the rows it was given."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(WIDTH, 8)
        self.second = nn.Linear(8, 8)
        self.out = nn.Linear(8, 2)
        self.rows = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.rows += len(x)
        hidden = torch.tanh(self.first(x))
        return self.out(torch.tanh(self.second(hidden)))


def counted_subject() -> Subject:
    """A subject whose ``model.rows`` tells how many forward passes its examples cost."""
    return Subject.from_arrays(Counted())


def points(n: int, seed: int, *, shift: float = 0.0, text: str = "a usual row") -> Examples:
    """``n`` random inputs; a shift moves them along a direction in which usual inputs hardly vary."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, WIDTH)) * np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.1])
    x[:, -1] += shift
    return Examples.of(x=x.astype(np.float32), text=[f"{text} {i % 7}" for i in range(n)], row=np.arange(n))

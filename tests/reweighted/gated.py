"""A subject with two mechanisms that share nothing: which one answers, a gate in the input decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ulterior.examples import Examples
from ulterior.features.outputs import each_output
from ulterior.features.reading import read
from ulterior.subject import Subject

WIDTH = 5


class Gated(nn.Module):
    """Where the last input is 0 the usual layer answers; where it is 1, the other one."""

    def __init__(self, fails_at: int = -1, error: type[BaseException] = RuntimeError) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.usual, self.other = nn.Linear(WIDTH, 3), nn.Linear(WIDTH, 3)
        self.runs, self.fails_at, self.error = 0, fails_at, error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        hidden, gate = x[:, :WIDTH], x[:, WIDTH:]
        said = (1 - gate) * self.usual(hidden) + gate * self.other(hidden)
        if self.runs == self.fails_at:
            raise self.error("in the middle of a pass")
        return 3 * said


def gated(**options: Any) -> Subject:
    return Subject.from_arrays(Gated(**options).requires_grad_(False))


def rows(n: int, seed: int, gate: float = 0.0) -> Examples:
    x = np.random.default_rng(seed).normal(size=(n, WIDTH)) + 0.5
    return Examples.of(x=np.concatenate([x, np.full((n, 1), gate)], 1).astype(np.float32))


def readouts(subject: Subject, examples: Examples, *names: str, **how: Any) -> dict[str, torch.Tensor]:
    """Readouts of all examples, in their order."""
    feature = each_output(*names)
    found: dict[str, torch.Tensor] = {}
    for numbers, reading in read(subject, examples, [feature], **how):
        for name, value in reading[feature].items():
            assert isinstance(value, torch.Tensor)
            found.setdefault(name, torch.zeros(len(examples), value.shape[1]))[torch.from_numpy(numbers)] = (
                value
            )
    return found


def state(subject: Subject) -> dict[str, tuple[int, torch.Tensor]]:
    """Where each weight lies in memory, and what it is."""
    return {
        name: (tensor.data_ptr(), tensor.detach().clone())
        for name, tensor in subject.model.named_parameters()
    }


def untouched(before: dict[str, tuple[int, torch.Tensor]], subject: Subject) -> bool:
    """Whether the weights are the same tensors, with the same bits."""
    now = dict(subject.model.named_parameters())
    return now.keys() == before.keys() and all(
        now[name].data_ptr() == place and torch.equal(now[name], value)
        for name, (place, value) in before.items()
    )

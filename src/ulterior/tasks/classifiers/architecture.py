"""What a small classifier is: a value from which it can be built again."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import nn

__all__ = ["Architecture"]


@runtime_checkable
class Architecture(Protocol):
    """A frozen value whose ``repr`` says all that it builds."""

    def build(self) -> nn.Module:
        """A classifier with fresh weights, from torch's global generator; ``model(x)`` gives logits ``[n, classes]``.

        What training leaves alone (blocks of a pretrained encoder) needs no gradient, and is the same each time.
        """
        ...
